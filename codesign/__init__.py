"""codesign: what was trained and what was generated compute the same bits."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["Design", "__version__", "generate"]


def __getattr__(name: str) -> Any:
    """``codesign.generate`` and ``codesign.Design``, imported when first used."""
    if name in ("Design", "generate"):
        from codesign import api

        return getattr(api, name)
    raise AttributeError(f"module 'codesign' has no attribute {name!r}")
