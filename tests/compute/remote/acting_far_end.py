"""`tiffsd worker` as it is, with the worker of `acting_worker.py` behind it."""

from daemon.cli import main
from daemon.compute.remote import serving

if __name__ == "__main__":
    serving.WORKER = "tests.compute.remote.acting_worker"
    main()
