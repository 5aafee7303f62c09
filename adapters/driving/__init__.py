"""Dashcam video and photographs: reading, and video outputs."""

from __future__ import annotations

from .adapter import DRIVING

__all__ = ["DRIVING"]
