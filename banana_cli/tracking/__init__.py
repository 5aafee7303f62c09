"""Countable things followed from frame to frame. NumPy and SciPy; no torch, no files, no terminal."""
