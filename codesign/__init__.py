"""codesign: what was trained and what was generated compute the same bits."""

__version__ = "0.1.0"
