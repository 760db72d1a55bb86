"""The transport of HTTP: the uvicorn protocol, request bodies, client addresses, and the sinks that write streams."""
