"""Server-Sent Events as bytes. Pure."""
