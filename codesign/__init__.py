"""codesign: what was trained and what was generated compute the same bits."""

from __future__ import annotations

from typing import Any

from codesign.errors import (
    CodesignError,
    InternalError,
    MismatchError,
    OverBudget,
    ToolError,
    UnsupportedModel,
    UsageError,
)

__version__ = "0.1.0"
__all__ = [
    "CodesignError",
    "Design",
    "InternalError",
    "MismatchError",
    "OverBudget",
    "ToolError",
    "UnsupportedModel",
    "UsageError",
    "__version__",
    "check",
    "generate",
]


def __getattr__(name: str) -> Any:
    """``codesign.generate``, ``check`` and ``Design``, imported when first used."""
    if name in ("Design", "check", "generate"):
        from codesign import api

        return getattr(api, name)
    raise AttributeError(f"module 'codesign' has no attribute {name!r}")
