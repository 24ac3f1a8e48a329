"""How often the walk of one prompt file goes from one module of the program into another.

    python -m benchmarks.walk [--pairs]

A prompt is dropped and worked off by `tiffsd once` with the embedded model, through all stages. Counted are the calls, in the
threads of its jobs, from a function of one module of `daemon` or `tiffsd` to one of another, without those while a job waits for
its worker, which tell how long the model took. `--pairs` lists from where to where. To count in an older checkout, run this file by
its path with PYTHONPATH set to that checkout.
"""

import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

PROMPT = "---\nseed: 1\nsteps: 4\nmodel: demo\n---\na red house"
INNER = {"<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>", "<lambda>", "<module>"}
WAITING = "_served"


def main() -> None:
    """Print the count, and where asked for the pairs, the most frequent first."""
    with tempfile.TemporaryDirectory() as folder:
        spool, config = Path(folder) / "spool", Path(folder) / "config.yaml"
        config.write_text(f"spool: {spool}\n", encoding="utf-8")
        (spool / "inbox/1-text").mkdir(parents=True)
        pairs = Counter[tuple[str, str]]()
        _once(config)  # makes the folders
        (spool / "inbox/1-text/cat.txt").write_text(PROMPT, encoding="utf-8")
        threading.setprofile(lambda frame, event, _: _count(frame, event, pairs))
        _once(config)
        threading.setprofile(None)
        made = [path.name for path in (spool / "pictures").iterdir()]
    if "--pairs" in sys.argv:
        for (caller, called), times in pairs.most_common():
            sys.stdout.write(f"{times:6}  {caller} -> {called}\n")
    sys.stdout.write(f"{pairs.total()} changes of module on the way to {' and '.join(sorted(made))}\n")


def _once(config: Path) -> None:
    from daemon.cli import main as tiffsd

    arguments, sys.argv = sys.argv, ["tiffsd", "once", "--config", str(config)]
    try:
        tiffsd()
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.argv = arguments


def _count(frame: FrameType, event: str, pairs: "Counter[tuple[str, str]]") -> None:
    if event != "call" or not threading.current_thread().name.startswith("job") or frame.f_code.co_name in INNER:
        return
    called, before = _module(frame), [outer for outer in _outer(frame) if _module(outer)]
    if called and before and _module(before[0]) != called and all(outer.f_code.co_name != WAITING for outer in before):
        pairs[_module(before[0]), called] += 1


def _outer(frame: FrameType) -> "list[FrameType]":
    found = []
    above: Any = frame.f_back
    while above is not None:
        found.append(above)
        above = above.f_back
    return found


def _module(frame: FrameType) -> str:
    name = str(frame.f_globals.get("__name__", ""))
    return name if name.split(".")[0] in ("daemon", "tiffsd") else ""


if __name__ == "__main__":
    main()
