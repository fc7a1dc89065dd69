"""Constant matrices as graphs of shifted additions, solved, scheduled and estimated."""
