"""Order, durability, history, and the way from one process to others."""
