"""What one task costs, beside a script with a thread pool and beside a floor: `python -m benchmarks --help`."""
