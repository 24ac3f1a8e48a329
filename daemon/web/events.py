"""Server-sent events: pages are told when there is something new to be shown."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from daemon.web.showing import Showing

LOOK_SECONDS, HEARTBEAT_SECONDS = 0.3, 15.0
LOOKING_SHARE = 0.1  # of the time, at most


class Stamps:
    """What changes whenever the page has something new to show; looked up once for all who ask at about the same time."""

    def __init__(self, showing: Showing) -> None:
        self._showing = showing
        self._last, self._again = "", 0.0
        self._looking = asyncio.Lock()

    async def now(self) -> str:
        """The stamp of this moment, or of one shortly before."""
        async with self._looking:
            begun = time.monotonic()
            if begun >= self._again:
                self._last = await run_in_threadpool(self._look)
                took = time.monotonic() - begun
                self._again = begun + max(LOOK_SECONDS / 2, took / LOOKING_SHARE)
            return self._last

    def _look(self) -> str:
        try:
            return self._showing.stamp()
        except OSError:
            return "away"


def routes(showing: Showing, is_closing: Callable[[], bool]) -> list[Route]:
    """The stream of events, which ends when the server is closing."""
    stamps = Stamps(showing)

    async def told() -> AsyncIterator[str]:
        last, quiet_since = "", time.monotonic()
        while not is_closing():
            if (now := await stamps.now()) != last:
                last, quiet_since = now, time.monotonic()
                yield f"event: changed\ndata: {now}\n\n"
            elif time.monotonic() - quiet_since >= HEARTBEAT_SECONDS:
                quiet_since = time.monotonic()
                yield ": here\n\n"
            await asyncio.sleep(LOOK_SECONDS)

    async def events(_request: Request) -> Response:
        return StreamingResponse(told(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    return [Route("/events", events)]
