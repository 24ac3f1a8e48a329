"""`python -m tiffsd show|check FILE...`: what a file is, and whether it can be read, without a daemon."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from tiffsd import TiffsdError, describe, inspect, read
from tiffsd.summary import describe_header


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if all files could be read, 1 if one could not, with its sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m tiffsd", description="Look at TIFFSD files.")
    parser.add_argument("command", choices=("show", "check"), help="show: the metadata alone; check: read everything")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it complains of ends in a sentence here
    failed = 0
    for path in options.files:
        try:
            text = describe_header(inspect(path)) if options.command == "show" else describe(read(path))
            sys.stdout.write(f"{path.name}: {text}\n")
        except (TiffsdError, OSError) as error:
            sys.stderr.write(f"{error}\n")
            failed = 1
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
