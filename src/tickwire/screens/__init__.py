"""The filter language and the index of what it selects. Pure."""
