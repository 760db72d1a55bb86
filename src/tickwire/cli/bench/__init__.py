"""`tickwire bench`: measure this machine, Tickwire and its peers, on the same work in the same run."""

from tickwire.cli.bench.command import bench

__all__ = ["bench"]
