"""Partitions: made ahead of time, indexed, and removed once they have outlived their retention."""
