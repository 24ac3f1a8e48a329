"""`python -m daemon` is `tiffsd`."""

from daemon.cli import main

if __name__ == "__main__":
    main()
