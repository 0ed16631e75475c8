"""What one task costs, beside a thread pool and beside a floor: `python -m benchmarks --help`."""
