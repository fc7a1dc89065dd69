"""BuildDir: the folder that carries one generated design between the stages.

``verify``, ``synth`` and ``report`` read only this folder, so each can run again, alone, on
another machine. The schemas are pydantic models because the folder is untrusted input.

Layout::

    manifest.json   Manifest: ports, taps, layers, plan, versions
    model/          model.onnx, graph.json + graph.npz (the integer graph), golden.npz (optional)
    rtl/            *.v
    reports/        verify.json, synth.json, report.json, report.html
    sim/ synth/     working folders of the tools (safe to delete)
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from pydantic import BaseModel, ValidationError

from codesign.errors import UsageError
from codesign.folderlock import Tell, abandoned, locked
from codesign.manifest import Manifest

M = TypeVar("M", bound=BaseModel)
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class BuildDir:
    """Paths of one build folder, and checked reading and writing of its JSON files."""

    root: Path

    @staticmethod
    def open(path: str | os.PathLike[str]) -> BuildDir:
        """An existing BuildDir; ``UsageError`` when ``path`` is not one."""
        root = Path(path)
        if not (root / "manifest.json").is_file():
            raise UsageError(
                "this is not a build folder (no manifest.json)",
                where=str(root),
                hint="create one with: codesign generate model.onnx -o " + str(root),
            )
        return BuildDir(root)

    @contextlib.contextmanager
    def reading(self) -> Iterator[BuildDir]:
        """Keep others from replacing the folder while the block runs; may be nested."""
        with locked(self.root):
            yield self

    @property
    def manifest(self) -> Manifest:
        """The manifest, read and checked."""
        return self.read("manifest.json", Manifest)

    def rtl_files(self) -> list[Path]:
        """Verilog files, all inside ``rtl/`` (a manifest cannot point elsewhere)."""
        files = []
        for name in self.manifest.rtl:
            path = (self.root / "rtl" / name).resolve()
            if path.parent != (self.root / "rtl").resolve() or not path.is_file():
                raise UsageError("RTL file is missing or outside rtl/", where=name)
            files.append(path)
        return files

    def read(self, name: str, schema: type[M]) -> M:
        """Parse ``name`` as ``schema``; ``UsageError`` naming the field that is wrong."""
        path = self.root / name
        try:
            return schema.model_validate_json(path.read_text())
        except OSError as error:
            raise UsageError(f"cannot read: {error.strerror}", where=str(path)) from error
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(p) for p in first["loc"])
            raise UsageError(
                f"field '{field}': {first['msg']}", where=str(path), hint="generate it again"
            ) from error

    def read_optional(self, name: str, schema: type[M]) -> M | None:
        """As :meth:`read`, or None when the file does not exist."""
        return self.read(name, schema) if (self.root / name).exists() else None

    def write(self, name: str, model: BaseModel) -> None:
        """Write ``model`` as JSON, atomically."""
        write_text_atomically(self.root / name, json.dumps(model.model_dump(), indent=1) + "\n")


def while_reading(
    call: Callable[Concatenate[BuildDir, P], R],
) -> Callable[Concatenate[BuildDir, P], R]:
    """A function of a BuildDir that nobody replaces while it runs."""

    @functools.wraps(call)
    def held(build: BuildDir, /, *args: P.args, **options: P.kwargs) -> R:
        with build.reading():
            return call(build, *args, **options)

    return held


def write_text_atomically(path: Path, text: str) -> None:
    """Write beside ``path``, then move into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix="." + path.name)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


#: Names of a folder that is being written beside its place, and of one that was moved out of it.
NEW, OLD = ".codesign-new", ".codesign-old"


@contextlib.contextmanager
def staged(target: Path, tell: Tell = lambda _: None) -> Iterator[Path]:
    """A fresh folder beside ``target`` that replaces it only if the block succeeds.

    An existing ``target`` is replaced only when it is empty or a build folder (has a
    manifest.json): anything else is the user's and is left alone (``UsageError``). One that
    another process reads is replaced when that has ended; ``tell`` says who is waited for.
    """
    target = target.resolve()
    _check_replaceable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    work = _beside(target, NEW)
    try:
        with locked(work, exclusive=True):  # others see that it is in use
            yield work
            _replace(target, work, tell)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _check_replaceable(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise UsageError("output exists and is not a folder", where=str(target))
    if target.exists() and any(target.iterdir()) and not (target / "manifest.json").exists():
        raise UsageError(
            "output folder is not empty and not a build folder",
            where=str(target),
            hint="choose another -o, or empty it yourself",
        )


def _beside(target: Path, kind: str) -> Path:
    """A new hidden folder, ``NEW`` or ``OLD``, beside ``target``."""
    made = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-", suffix=kind))
    os.chmod(made, 0o755)
    return made


def _replace(target: Path, work: Path, tell: Tell) -> None:
    """Move ``work`` to ``target``; what was there goes aside first, and is removed last."""
    while True:
        try:
            if not target.exists():
                os.replace(work, target)
                return
            with locked(target, exclusive=True, tell=tell):
                _check_replaceable(target)
                _swap(target, work)
                return
        except OSError as error:
            # another process moved its folder away from there, or into there: look again
            if error.errno not in (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY):
                raise
            if not work.exists():
                raise


def _swap(target: Path, work: Path) -> None:
    aside = _beside(target, OLD)
    try:
        os.replace(target, aside)
    except OSError as error:
        if error.errno != errno.EXDEV:  # an overlay moves no folder of its lower layers
            raise
        shutil.rmtree(target)
    try:
        os.replace(work, target)
    except OSError:
        os.replace(aside, target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _sweep(target: Path) -> None:
    """Remove what killed processes left beside ``target``; put back what they had moved aside."""
    ours = re.compile(rf"\.{re.escape(target.name)}-[a-z0-9_]{{8}}({NEW}|{OLD})")
    for path in sorted(target.parent.iterdir()):
        if not ours.fullmatch(path.name) or not abandoned(path):
            continue
        if path.suffix == OLD and (path / "manifest.json").exists() and not target.exists():
            os.replace(path, target)
        else:
            shutil.rmtree(path, ignore_errors=True)
