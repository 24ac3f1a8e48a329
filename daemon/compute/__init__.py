"""Where the maths runs: calls to workers, the processes they run in, and what runs inside one."""
