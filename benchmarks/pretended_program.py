"""`tiffsd` with pretended GPUs: `python -m benchmarks.pretended_program run`."""

from daemon.cli import main
from daemon.compute import local

if __name__ == "__main__":
    local.WORKER = "benchmarks.pretended_worker"
    main()
