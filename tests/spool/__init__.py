"""The protocol of the spool, proved on a disk in memory and tried on a real one; `python -m tests.spool.prove` says the figures."""
