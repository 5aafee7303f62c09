"""Weights that ship with banana (package data)."""
