"""What tiffsd costs, beside what people would use instead: `make bench` prints one table. See benchmarks/README.md."""
