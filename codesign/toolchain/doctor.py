"""``codesign doctor``: is everything there, new enough, and where does the cache live?

What is wanted comes from the package's own metadata, so it cannot drift from pyproject.toml.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from codesign.toolchain import cache
from codesign.toolchain.discover import version_tuple

PYTHON = (3, 11)
CACHE_FREE_MB = 500

#: Extras without which a verb does not work: missing ones are reported as failures.
REQUIRED_EXTRAS = {"": "all", "sim": "verify", "synth": "synth"}
OPTIONAL_EXTRAS = {"train": "train", "spiking": "spiking"}
#: What these are for, in their hints.
ONLY_FOR = {"train": "'codesign train'", "spiking": "NIR, snnTorch and Bessel filters"}

REQUIREMENT = re.compile(r"([\w.-]+)\s*([^;]*?)\s*(?:;\s*extra\s*==\s*['\"](\w+)['\"])?$")
CLAUSE = re.compile(r"(==|>=|<=|<|>|!=)\s*([\w.]+)")


class Check(BaseModel):
    """One row: a thing, the version found and wanted, and what to do when it is not ok.

    ``verb`` says which command needs it. A missing optional thing is ``ok`` with a hint.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    verb: str
    found: str
    wanted: str
    ok: bool
    hint: str = ""


def check_all() -> list[Check]:
    """Every check, cheap enough to run each time (no tool is started but the compiler)."""
    return [_python(), *_packages(), *_compilers(), _cache()]


def _python() -> Check:
    return Check(
        name="Python",
        verb="all",
        found=platform.python_version(),
        wanted=">=" + ".".join(map(str, PYTHON)),
        ok=sys.version_info >= PYTHON,
        hint="" if sys.version_info >= PYTHON else "install a newer Python",
    )


def _packages() -> Iterator[Check]:
    """One row for each requirement of codesign, development ones aside."""
    for text in importlib.metadata.requires("codesign") or []:
        parsed = REQUIREMENT.match(text)
        if parsed is None:
            continue
        name, wanted, extra = parsed.group(1), parsed.group(2), parsed.group(3) or ""
        if name == "codesign" or extra not in {**REQUIRED_EXTRAS, **OPTIONAL_EXTRAS}:
            continue
        yield _package(name, wanted, extra)


def _package(name: str, wanted: str, extra: str) -> Check:
    verb = {**REQUIRED_EXTRAS, **OPTIONAL_EXTRAS}[extra]
    install = f"pip install '{name}{wanted}'"
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        optional = extra in OPTIONAL_EXTRAS
        hint = f"only for {ONLY_FOR[extra]}: {install}" if optional else install
        return Check(name=name, verb=verb, found="—", wanted=wanted, ok=optional, hint=hint)
    ok = satisfies(found, wanted)
    hint = "" if ok else install
    return Check(name=name, verb=verb, found=found, wanted=wanted, ok=ok, hint=hint)


def satisfies(version: str, wanted: str) -> bool:
    """Does ``version`` meet a comma separated specifier such as ``>=1.19,<1.23``?"""
    return all(_meets(version, op, limit) for op, limit in CLAUSE.findall(wanted))


def _meets(version: str, op: str, limit: str) -> bool:
    left, right = version_tuple(version), version_tuple(limit)
    width = max(len(left), len(right))
    a = left + (0,) * (width - len(left))
    b = right + (0,) * (width - len(right))
    results = {"==": a == b, "!=": a != b, ">=": a >= b, "<=": a <= b, ">": a > b, "<": a < b}
    return results[op]


def _compilers() -> Iterator[Check]:
    """The host compiler and make, which Verilator's models are built with."""
    hint = "apt-get install g++ make"
    for name, version_flag in (("g++", "-dumpfullversion"), ("make", "--version")):
        path = shutil.which(name)
        found = _first_line([path, version_flag]) if path else "—"
        yield Check(
            name=name,
            verb="verify",
            found=found,
            wanted="any",
            ok=path is not None,
            hint="" if path else hint,
        )


def _first_line(argv: list[str]) -> str:
    """First line a tool prints, or its path when it prints nothing."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return "does not run"
    lines = done.stdout.strip().splitlines()
    return lines[0].removeprefix("GNU Make ") if lines else argv[0]


def _cache() -> Check:
    """The result cache: can it be written, how much is in it, how much room is left?"""
    folder = cache.root()
    place = next(p for p in (folder, *folder.parents) if p.exists())
    free_mb = shutil.disk_usage(place).free // 2**20
    writable = os.access(place, os.W_OK)
    problem = ""
    if not writable:
        problem = f"{folder} cannot be written: set CODESIGN_CACHE to a folder that can"
    elif free_mb < CACHE_FREE_MB:
        problem = f"less than {CACHE_FREE_MB} MB left on {place}"
    return Check(
        name="cache",
        verb="synth",
        found=f"{_size_mb(folder):.1f} MB in {folder}",
        wanted="writable",
        ok=not problem,
        hint=problem,
    )


def _size_mb(folder: Path) -> float:
    total = 0
    for where, _, names in os.walk(folder):  # which passes over what another process just removed
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(Path(where, name)).st_size
    return total / 2**20
