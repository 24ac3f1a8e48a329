"""The lifecycle of the daemon: build, start, tick, stop; whose turn it is, what backs off, what wakes, what is said."""
