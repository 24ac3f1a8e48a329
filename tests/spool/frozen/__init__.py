"""Spools of earlier versions, as these left them: every later version must recover them to what they themselves made of them.

`python -m tests.spool.frozen.freeze` adds the one of the version that runs it; `test_frozen.py` holds every later version to it.
"""
