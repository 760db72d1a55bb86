"""Find out what a proxy between a client and a server does to a stream."""
