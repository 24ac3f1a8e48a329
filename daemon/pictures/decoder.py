"""The child process that reads what people drop: one request, one answer, and it ends. It may crash; `decoding.py` says so.

    python -m daemon.pictures.decoder FILE_DESCRIPTOR ANSWER_DESCRIPTOR REQUEST

Only what a request needs is imported: for words no codec, and no numpy. Limits are set after the libraries are loaded, on top of
what they take.
"""

import json
import resource
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from daemon.errors import InputError
from daemon.pictures.child_limits import RefusedByFormat, limit_memory, limit_processor_time, limit_time
from daemon.pictures.sizes import ALIGNED_BYTES
from daemon.pictures.words import words_of

Request = Mapping[str, Any]
# Facts in JSON, and arrays whose bytes follow them.
Answer = tuple[dict[str, Any], list[Any]]
# Reading words takes little; hashing the coded pixels of a large file some seconds.
BYTES_PER_PIXEL_OF_TIME = 50


def main(file: int, answer: int, request: Request) -> None:
    """Read what the request asks for and write the answer."""
    # Where the kernel must kill for memory, it shall take this process.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    limit_processor_time(request["seconds"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (request["answer_bytes"], request["answer_bytes"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open(file, "rb") as source, open(answer, "wb") as out:
        try:
            facts, arrays = _reader(request["what"])(source, request)
            _write(out, facts, arrays)
        except InputError as error:
            _refuse(out, type(error).__name__, str(error))
        except RefusedByFormat as error:
            _refuse(out, *error.args)
        except MemoryError:
            _refuse(out, "InputError", f"{request['name']}: decoding it takes more memory than its size explains; save it again")


def _reader(what: str) -> Callable[[IO[bytes], Request], Answer]:
    if what == "words":
        return _words
    if what in ("finished", "proof"):
        from daemon.pictures.comparing import of_finished, of_proof

        return of_finished if what == "finished" else of_proof
    from daemon.pictures.codecs import READERS

    return READERS[what]


def _words(file: IO[bytes], request: Request) -> Answer:
    limit_memory(request["memory_bytes"])
    limit_time(request["stored"] // BYTES_PER_PIXEL_OF_TIME)
    return {"words": words_of(file, request["name"], characters=request["characters"], digest=True)}, []


def _write(out: IO[bytes], facts: dict[str, Any], arrays: list[Any]) -> None:
    shapes = [{"shape": array.shape, "dtype": array.dtype.str} for array in arrays]
    line = json.dumps({**facts, "arrays": shapes}).encode()
    # So that arrays begin where numbers may lie.
    out.write(line + b" " * (-(len(line) + 1) % ALIGNED_BYTES) + b"\n")
    for array in arrays:
        out.write(array.data)
        out.write(bytes(-array.nbytes % ALIGNED_BYTES))


def _refuse(out: IO[bytes], kind: str, sentence: str) -> None:
    out.write(json.dumps({"refused": kind, "sentence": sentence}).encode() + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
