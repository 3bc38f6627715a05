"""Compiled popcount loops and their threads; no measure."""
