"""The command line: one module for each command, the shared options, and the supervisor of the server processes."""
