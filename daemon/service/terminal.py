"""How the log looks: in colours on a terminal, plain lines elsewhere, with the time where nobody else notes it.

One record is one line, whatever names and words of files are in it: `shown` stands between. Only a traceback has more, and each of
these is indented, as no first line is.
"""

import logging
import os
import sys
from typing import TextIO

from rich.console import Console
from rich.logging import RichHandler

from daemon.names import shown
from daemon.stray import catch_all

INDENT = "    "
WITH_TIME, TIME = "%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"

err = Console(stderr=True, highlight=False)


def log_to_stderr(verbose: bool) -> None:
    """Rich lines on a terminal; elsewhere plain ones: with their time, or for journald, which notes it, with their priority."""
    if err.is_terminal:
        handler: logging.Handler = RichHandler(console=err, show_path=False, markup=False)
        handler.setFormatter(LineFormatter(datefmt="[%X]"))
    else:
        handler = LineHandler()
        handler.setFormatter(PriorityFormatter() if journal_listens() else LineFormatter(WITH_TIME, TIME))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    # The one logs every event of the file system at DEBUG, the other every broken tag of a broken file.
    logging.getLogger("watchdog").setLevel(logging.INFO)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    catch_all()


def journal_listens() -> bool:
    """Whether stderr goes to journald; the variable is inherited by programs that write elsewhere, and then names another file."""
    stderr = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


class LineHandler(logging.StreamHandler[TextIO]):
    """To stderr; also where a record cannot be formatted nothing goes there but lines."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Override: logging would write a traceback of many lines. Where nobody reads stderr there is nobody to tell."""
        if record.args and not isinstance(sys.exception(), OSError):
            words = {"msg": f"internal error in tiffsd: {record.name} logs {record.msg!r} with what does not fit", "args": None}
            self.emit(logging.makeLogRecord({**vars(record), **words}))


class LineFormatter(logging.Formatter):
    """The message in one line; below it the lines of a traceback, indented."""

    def prefix(self, _record: logging.LogRecord) -> str:
        """What each line of a record begins with."""
        return ""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Override logging: line breaks in the message must not look like the end of the record."""
        return shown(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """Override logging: what follows the first line is a traceback."""
        message, *trace = super().format(record).split("\n")
        prefix = self.prefix(record)
        return "\n".join([prefix + message, *(f"{prefix}{INDENT}{shown(line)}" for line in trace)])


class PriorityFormatter(LineFormatter):
    """The same with a priority before each line, which journald takes off."""

    PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))

    def prefix(self, record: logging.LogRecord) -> str:
        """Override: the priority of the record."""
        return f"<{next((number for level, number in self.PRIORITIES if record.levelno >= level), 7)}>"
