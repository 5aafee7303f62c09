"""The readers and writers of banana; found by entry points only."""
