"""A journal on NATS JetStream, and what goes with it: a lease for the feed, and questions to the other processes."""
