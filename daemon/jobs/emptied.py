"""Whether a failed job's folder still holds anything of a person's, or nothing but the reports on why it failed."""

from contextlib import suppress
from pathlib import Path

from daemon.beneath import Beneath
from daemon.inbox.telling_names import is_housekeeping

REPORT = "error.txt"
# The second for drops that are named like a report themselves.
REPORTS = ({REPORT, "error.json"}, {"error-report.txt", "error-report.json"})


def is_emptied(beneath: Beneath, folder: Path) -> bool:
    """Whether nothing but the reports is left of a failed job."""
    with suppress(OSError):
        left = {name for name in beneath.names(folder) if not is_housekeeping(name)}
        return bool(left) and any(left <= reports for reports in REPORTS)
    return False
