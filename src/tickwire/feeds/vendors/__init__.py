"""The feeds of vendors, which send prices over a WebSocket. Each vendor has one file."""
