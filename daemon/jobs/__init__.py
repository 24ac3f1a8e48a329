"""One job from files to files: `job.py` is its story, the rest are its hands. Only here the spool and the pictures meet."""
