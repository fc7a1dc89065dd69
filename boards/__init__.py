"""`codesign.boards`: one file per board, found by name.

A board is a module here with a constant ``BOARD`` (:class:`~codesign.builddir.BoardInfo`) and an
optional tuple ``ALIASES``. Third parties add theirs through the entry point group
``codesign.boards``; an entry point loads such a module, or a ``BoardInfo`` itself.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

from codesign.errors import UsageError
from codesign.manifest import BoardInfo

if __name__ != "codesign.boards":
    raise ImportError("import this package as 'codesign.boards' (run 'pip install -e .' first)")

ENTRY_POINTS = "codesign.boards"


def names() -> list[str]:
    """Names of all boards, sorted, without aliases."""
    return sorted({board.name for board in _known().values()})


def get(name: str) -> BoardInfo:
    """The board called ``name`` (or an alias of it); ``UsageError`` listing the known ones."""
    known = _known()
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise UsageError(
        f"unknown board '{name}'", where="--board", hint=f"{hint}known: {', '.join(sorted(known))}"
    )


def _known() -> dict[str, BoardInfo]:
    """Every board by name and alias. A board shipped here wins over an entry point."""
    found: dict[str, BoardInfo] = {}
    for source, where in _sources():
        board = source if isinstance(source, BoardInfo) else getattr(source, "BOARD", None)
        if not isinstance(board, BoardInfo):
            raise UsageError("a board must define BOARD = BoardInfo(...)", where=where)
        for key in (board.name, *getattr(source, "ALIASES", ())):
            found.setdefault(key, board)
    return found


def _sources() -> Iterator[tuple[Any, str]]:
    """Board modules of this package, then what the entry points load; each with its origin."""
    for info in pkgutil.iter_modules(__path__):
        if not info.name.startswith("_"):
            name = f"{__name__}.{info.name}"
            yield importlib.import_module(name), name
    for point in entry_points(group=ENTRY_POINTS):
        try:
            yield point.load(), point.value
        except Exception as error:
            raise UsageError(
                f"board '{point.name}' cannot be loaded: {error}",
                where=point.value,
                hint="fix or uninstall the package that provides it",
            ) from error
