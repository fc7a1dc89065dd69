"""Data sets of events: one file each, registered by name."""
