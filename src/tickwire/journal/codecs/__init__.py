"""The encodings of commits in a shared journal. A commit is a group of entries in one message."""
