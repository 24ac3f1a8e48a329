"""The daemon: folders in, pictures out; see `daemon/stages/__init__.py` for the pipeline and `daemon/job.py` for the story."""
