"""The daemon: folders in, pictures out; see `daemon/stages/__init__.py` for the pipeline and `daemon/jobs/job.py` for the story."""
