"""Results of slow tools on disk, keyed by everything that determines them.

Folder: ``$CODESIGN_CACHE``, or ``codesign`` in ``$XDG_CACHE_HOME`` or ``~/.cache``. Entries are
written beside their place and moved there, so parallel processes never see half an entry. A
folder that cannot be written, or a damaged entry, only means that the tool runs again.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any


def root() -> Path:
    """The cache folder (not created here)."""
    if chosen := os.environ.get("CODESIGN_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "codesign"


def digest(*parts: Any) -> str:
    """SHA-256 (hex) of a sequence of JSON values: strings, numbers, lists, objects."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def load(kind: str, key: str) -> Any | None:
    """The JSON value stored under ``key``, or None."""
    try:
        return json.loads(gzip.decompress(_path(kind, key).read_bytes()))
    except (OSError, EOFError, ValueError):
        return None


def store(kind: str, key: str, value: Any) -> None:
    """Store a JSON value, atomically; a cache that cannot be written is no error."""
    path = _path(kind, key)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(gzip.compress(json.dumps(value).encode(), compresslevel=4))
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)


def _path(kind: str, key: str) -> Path:
    return root() / kind / key[:2] / f"{key}.json.gz"
