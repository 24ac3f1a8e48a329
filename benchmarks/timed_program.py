"""`tiffsd` with the timed worker: `python -m benchmarks.timed_program run`."""

from daemon.cli import main
from daemon.compute import local

if __name__ == "__main__":
    local.WORKER = "benchmarks.timed_worker"
    main()
