"""What things cost: one command each, one table each; `python -m benchmarks.NAME`."""
