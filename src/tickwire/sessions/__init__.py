"""State about readers (connected clients) that all processes share: subscriptions, rights, results of admin events."""
