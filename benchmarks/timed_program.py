"""`tiffsd` with the timed worker: `python -m benchmarks.timed_program run`."""

from daemon import compute
from daemon.cli import main

if __name__ == "__main__":
    compute.WORKER = "benchmarks.timed_worker"
    main()
