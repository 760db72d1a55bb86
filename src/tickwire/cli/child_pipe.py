"""A pipe from a child process to its parent process.

The child process inherits the write end. An environment variable contains the number of its descriptor.
"""

from __future__ import annotations

import os


class ChildPipe:
    """The parent's two ends of the pipe.

    Start the child process with `pass_fds=(pipe.write_fd,)`, and then call `close_write_end`.
    """

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()

    def close_write_end(self) -> None:
        """Close the parent's copy of the write end of the pipe. A second call does nothing.

        While this copy is open, the parent cannot detect that the child process has ended.
        """
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    def close(self) -> None:
        """Close both ends of the pipe. A second call does nothing."""
        self.close_write_end()
        if self.read_fd >= 0:
            os.close(self.read_fd)
            self.read_fd = -1


def inherited_write_end(variable: str) -> int | None:
    """Return the descriptor whose number the environment variable contains. Return None if the descriptor is not open.

    Remove the variable from the environment, and mark the descriptor as not inheritable, so that child processes
    receive neither the variable nor the descriptor.
    """
    text = os.environ.pop(variable, "")
    if not text.isdigit():
        return None
    descriptor = int(text)
    try:
        os.set_inheritable(descriptor, False)
    except OSError:
        return None
    return descriptor
