"""`tiffsd` with the worker in which jobs fail as they say, and with short waits: `python -m tests.compute.faulty_program run`."""

from daemon.cli import main
from daemon.compute import local
from daemon.jobs import retry_budget
from daemon.service import backoff

if __name__ == "__main__":
    local.WORKER = "tests.compute.faulty_worker"
    retry_budget.WAIT_SECONDS = 0.5
    backoff.FIRST_BACKOFF_SECONDS, backoff.LONGEST_BACKOFF_SECONDS = 0.5, 2.0
    main()
