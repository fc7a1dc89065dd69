"""Lazy imports of the training extra, with one clear error when it is not installed."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from codesign.errors import ToolError


def need(module: str) -> Any:
    """Import ``module`` (of the ``train`` extra) or raise :class:`ToolError` (exit 3)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        raise ToolError(
            f"{module.split('.')[0]} is not installed ({error})",
            hint="pip install 'codesign[train]'",
        ) from None
