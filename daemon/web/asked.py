"""What a request asks for: the place in the spool that it names, its parameters, and its body within bounds.

Names in a spool may hold any bytes. So a place is read from the percent-encoded text, byte for byte, and no part of it may lead
out of the spool, or to what is hidden there: the daemon's own folders, and files that are not finished.
"""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from daemon.errors import DaemonError, NotThere

MOST_JSON_BYTES = 1_000_000
HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # of a pair, which stands for no byte of a name
PATIENCE_SECONDS = 60.0  # for the next part of a body


class TooLarge(DaemonError):
    """A body is larger than it may be."""


class Gone(DaemonError):
    """Whoever sent a body has gone away, or sends nothing more."""


def place_of(root: Path, quoted: str) -> Path:
    """The place below the spool that a percent-encoded relative link leads to. Raises NotThere where that may not be."""
    return below(root, [os.fsdecode(unquote_to_bytes(part)) for part in quoted.split("/")])


def place_named(root: Path, path: str) -> Path:
    """The place below the spool at a relative path as people write it, "hold/2-diffuse/cat.tiff". Raises NotThere."""
    return below(root, path.split("/"))


def below(root: Path, parts: list[str]) -> Path:
    """The place that these names lead to, one in the other. Raises NotThere where one is no plain name, or hidden."""
    if not all(parts) or any(part.startswith(".") or "/" in part or "\0" in part or HALF.search(part) for part in parts):
        raise NotThere("there is nothing of that name in the spool")
    return root.joinpath(*parts)


def parameter(request: Request, key: str) -> str:
    """A parameter of the address, byte for byte as a file name has it; empty where it is not there."""
    for pair in request.scope["query_string"].split(b"&"):
        name, _, value = pair.partition(b"=")
        if name == key.encode("ascii"):
            return os.fsdecode(unquote_to_bytes(value.replace(b"+", b" ")))
    return ""


async def parts_of_body(request: Request, most: int) -> AsyncIterator[bytes]:
    """The body as it comes. Raises TooLarge above `most` bytes, Gone where it does not come to its end."""
    said = request.headers.get("content-length", "0")
    if not said.isdecimal() or int(said) > most:
        raise TooLarge(f"that is too large: {most:,} bytes are the most here")
    count, parts = 0, request.stream()
    while True:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                part = await anext(parts)
        except StopAsyncIteration:
            return
        except (ClientDisconnect, TimeoutError) as error:
            raise Gone("the rest of it did not come") from error
        count += len(part)
        if count > most:
            raise TooLarge(f"that is too large: {most:,} bytes are the most here")
        yield part


async def body(request: Request, most: int) -> bytes:
    """The whole body, of at most so many bytes. Raises TooLarge or Gone."""
    return b"".join([part async for part in parts_of_body(request, most)])


async def object_in(request: Request) -> dict[str, Any]:
    """The JSON object that is the body. Raises DaemonError where it is none."""
    try:
        said = json.loads(await body(request, MOST_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise DaemonError("that is no JSON") from error
    if not isinstance(said, dict):
        raise DaemonError("that is no JSON object")
    return said


def as_json(content: Any, code: int = 200) -> Response:
    """An answer in JSON, all of it ASCII: names may hold what no other text can say."""
    return Response(json.dumps(content), code, media_type="application/json")
