"""The folder side against the real world: the real daemon, spool, inotify, files and signals; only the maths answers at once."""
