"""The user's cache folder: compiled simulators and runtime objects.

``$CODESIGN_CACHE``, else ``$XDG_CACHE_HOME/codesign``, else ``~/.cache/codesign``. Entries are
made in a temporary folder and renamed, so parallel processes never see half of one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from codesign.errors import ToolError
from codesign.toolchain.verilator import Verilator

KEEP = 48
"""Compiled simulators kept per kind; the least recently used ones go first."""


def cache_root() -> Path:
    """The cache folder, created; ``ToolError`` when it cannot be written."""
    chosen = os.environ.get("CODESIGN_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    root = Path(chosen).absolute() if chosen else Path(base) / "codesign"
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ToolError(
            f"cannot create the cache folder: {error.strerror}",
            where=str(root),
            hint="set CODESIGN_CACHE to a folder you can write",
        ) from error
    return root


def objcache_command(tool: Verilator) -> list[str]:
    """The ``OBJCACHE`` wrapper: compiles Verilator's runtime once per user."""
    script = Path(__file__).with_name("objcache.py")
    return [sys.executable, "-I", "-S", str(script), str(tool.root), str(cache_root() / "objects")]


def digest(parts: Iterable[str | bytes | Path]) -> str:
    """Key of a cache entry: strings, bytes and the contents of files."""
    total = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part
        data = data.encode() if isinstance(data, str) else data
        total.update(len(data).to_bytes(8, "little"))
        total.update(data)
    return total.hexdigest()[:32]


def cached_folder(kind: str, key: str, fill: Callable[[Path], None]) -> tuple[Path, bool]:
    """The folder ``kind/key``; made by ``fill(folder)`` when absent. Second: was it there."""
    home = cache_root() / kind
    final = home / key
    if final.is_dir():
        with contextlib.suppress(OSError):
            os.utime(final)
        return final, True
    home.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=home, prefix=".new-"))
    try:
        fill(work)
        with contextlib.suppress(OSError):  # another process was first: use its entry
            work.replace(final)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if not final.is_dir():
        raise ToolError("cannot store the compiled simulator", where=str(final))
    _prune(home, final)
    return final, False


def _prune(home: Path, fresh: Path) -> None:
    """Drop the least recently used entries beyond ``KEEP``; never ``fresh``."""
    aged = []
    for entry in home.iterdir():
        if entry.name.startswith(".") or entry == fresh:
            continue
        with contextlib.suppress(OSError):
            aged.append((entry.stat().st_mtime_ns, entry))
    for _, entry in sorted(aged)[: max(0, len(aged) - KEEP)]:
        shutil.rmtree(entry, ignore_errors=True)
