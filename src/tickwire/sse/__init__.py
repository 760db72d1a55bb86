"""Server-Sent Events as bytes (frames), and compressed blocks that many response bodies share.

This package does no input or output.
"""
