"""Metrics, and the pairing of predictions with ground truth. NumPy and OpenCV; no torch, no terminal."""
