"""Sources of ticks, the registry that opens feeds by name, and the playback commands that control a running feed."""
