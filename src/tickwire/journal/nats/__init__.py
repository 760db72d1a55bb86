"""The journal on NATS JetStream. Several processes can share this journal."""
