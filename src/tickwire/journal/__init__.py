"""The journal, the ordered and durable record of events: its protocol, its backends, and their shared code."""
