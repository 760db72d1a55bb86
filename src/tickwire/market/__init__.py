"""Market arithmetic: the board and the universe. Pure."""
