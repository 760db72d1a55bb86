"""Run the benchmarks: `python -m benchmarks`."""

from benchmarks.cli import bench

if __name__ == "__main__":
    bench(prog_name="python -m benchmarks")
