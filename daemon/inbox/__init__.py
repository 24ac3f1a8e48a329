"""Which files are ready: what arrives, what belongs together, what still waits, and in which order."""
