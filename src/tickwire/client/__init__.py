"""The Python client: read streams, publish ticks, check filters, and control the simulator."""
