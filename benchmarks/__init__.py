"""Benchmarks: measure Tickwire and its peers with the same workload in the same run (`python -m benchmarks`)."""
