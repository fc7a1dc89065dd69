"""Moves of elements: any permutation, slice or pad of a frame, on the smallest buffer."""
