"""Find the changes that a proxy between a client and a server makes to a stream."""
