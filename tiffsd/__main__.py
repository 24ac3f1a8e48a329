"""`python -m tiffsd COMMAND`: the commands on files alone, without a daemon."""

import sys

from tiffsd.commands import app
from tiffsd.shown import in_words, shown
from tiffsd.spec import TiffsdError


def main() -> None:
    """Run the command line: 0 for done, 1 for a file at fault, 2 for words that are no command."""
    try:
        app(prog_name="python -m tiffsd")
    except (TiffsdError, OSError) as error:
        sys.exit(f"tiffsd: {shown(in_words(error))}")


if __name__ == "__main__":
    main()
