"""Fan-out inside one process: asyncio, no HTTP."""
