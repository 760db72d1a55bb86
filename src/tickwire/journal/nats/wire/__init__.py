"""The forms in which a commit travels."""
