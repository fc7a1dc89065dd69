"""What is imported from a checkout is what pip installs."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


@pytest.mark.parametrize(("package", "folder"), PROJECT["package-dir"].items())
def test_every_package_is_installed(package: str, folder: str) -> None:
    """A package that is not in the list is in the checkout, and in no wheel."""
    found = {
        ".".join([package, *file.parent.relative_to(ROOT / folder).parts])
        for file in (ROOT / folder).rglob("__init__.py")
    }
    assert found and found <= set(PROJECT["packages"])
