"""Files that are dropped on the page: into the inbox of a stage, as if they had been copied there."""

from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from daemon.errors import ConfigError, DaemonError, NotThere
from daemon.layout import INBOX
from daemon.names import shown
from daemon.settings.config import Limits
from daemon.stages import STAGES
from daemon.web.arriving import arriving, check_name, told_of
from daemon.web.asked import as_json, parameter, parts_of_body
from daemon.web.facts import ReadConfig


def routes(root: Path, read_config: ReadConfig) -> list[Route]:
    """Where files are sent to."""

    async def drop(request: Request) -> Response:
        stage = STAGES.get(request.path_params["stage"])
        if stage is None:
            raise NotThere(f"{shown(request.path_params['stage'])[:40]} is not a stage; stages are: {', '.join(STAGES)}")
        name = parameter(request, "name")
        check_name(stage, name)
        most = await run_in_threadpool(_most_bytes, read_config)
        with arriving(root, root / INBOX / stage.folder, stage) as made:
            size = 0
            async for part in parts_of_body(request, most):
                size += len(part)
                await run_in_threadpool(made.file.write, part)
            if not size:
                raise DaemonError(f"{shown(name)} is empty")
            path = await run_in_threadpool(made.arrive, name)
        return as_json(told_of(stage, path))

    return [Route("/drops/{stage}", drop, methods=["POST"])]


def _most_bytes(read_config: ReadConfig) -> int:
    try:
        return read_config().limits.file_bytes
    except (ConfigError, OSError):
        return Limits().file_bytes
