"""What tiffsd costs, beside what people would use instead: `make bench` prints one table. See benchmarks/README.md."""

import os

from daemon.compute.process import SAME_BITS

# Before torch is loaded, in every program of this folder: what people would use instead is compared to the last bit too.
for name, value in SAME_BITS.items():
    os.environ.setdefault(name, value)
