"""`python -m tiffsd show|check FILE...`: what a file is, and whether it can be read, without a daemon."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from tiffsd import Artifact, TiffsdError, inspect, read


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if all files could be read, 1 if one could not, with its sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m tiffsd", description="Look at TIFFSD files.")
    parser.add_argument("command", choices=("show", "check"), help="show: the metadata; check: read everything, say what was found")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it complains of ends in a sentence here
    failed = 0
    for path in options.files:
        try:
            text = _shown(path) if options.command == "show" else _checked(path, read(path))
            sys.stdout.write(text + "\n")
        except (TiffsdError, OSError) as error:
            sys.stderr.write(f"{error}\n")
            failed = 1
    return failed


def _shown(path: Path) -> str:
    header = inspect(path)
    lines = [
        f"{path.name}: {header.kind} {header.id}",
        f"  layout {header.layout}, size {'x'.join(map(str, header.size))}",
    ]
    if header.state:
        lines.append(f"  state {header.state}" + (f", step {header.step} of {header.steps}" if header.step is not None else ""))
    if header.sigma is not None:
        lines.append(f"  sigma {header.sigma:g}")
    lines += [f"  {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in header.recipe.items()]
    lines += [f"  history: {json.dumps(entry, ensure_ascii=False)}" for entry in header.history]
    return "\n".join(lines)


def _checked(path: Path, artifact: Artifact) -> str:
    header = artifact.header
    state = f" ({header.state})" if header.state else ""
    lines = [f"{path.name}: {header.kind}{state} {header.id}, {artifact.painted} values painted"]
    lines += [f"  {name}: {tensor.dtype} {list(tensor.shape)}" for name, tensor in artifact.tensors.items()]
    lines += [f"  {note}" for note in artifact.notes]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
