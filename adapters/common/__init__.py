"""Formats that every domain can write: PNG, NumPy, overlays for people, statistics."""
