"""Sliding windows over line buffers, by pixel and by tap."""
