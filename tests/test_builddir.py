"""Two processes and one build folder: what is read is not replaced, what is left is swept."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import onnx
import pytest

import codesign
from codesign.builddir import NEW, OLD, BuildDir, staged
from codesign.errors import UsageError
from codesign.folderlock import locked
from tests.models import Mlp, mlp

#: Says what happens, waits for a line where it says so, and ends with its standard input.
TALK = """
import sys
def say(text):
    print(text, flush=True)
def ask(text):
    say(text)
    sys.stdin.readline()
"""
HOLD = """
from codesign.builddir import BuildDir
with BuildDir.open(sys.argv[1]).reading():
    ask("reading")
"""
REPLACE = """
from pathlib import Path
from codesign.builddir import staged
with staged(Path(sys.argv[1]), say) as work:
    (work / "manifest.json").write_text("new")
say("replaced")
"""
VERIFY = """
from codesign.api import Design
def tell(text):
    if text.startswith("RTL"):
        ask(text)
report = Design(sys.argv[1]).verify(random_frames=40, cocotb=False, progress=tell)
say("proven" if report.ok else "differs")
"""
GENERATE = """
import codesign
def tell(text):
    if text.startswith("waiting"):
        say(text)
codesign.generate(sys.argv[1], sys.argv[2], target_ii=24, progress=tell)
say("generated")
"""
IN_THE_BLOCK = """
from pathlib import Path
from codesign.builddir import staged
with staged(Path(sys.argv[1])) as work:
    ask(str(work))
"""
HALF_WAY = """
from pathlib import Path
from codesign import builddir
rename = builddir.os.replace
def rename_and_ask(source, target):
    rename(source, target)
    ask("moved aside")
builddir.os.replace = rename_and_ask
with builddir.staged(Path(sys.argv[1])) as work:
    (work / "manifest.json").write_text("new")
"""
READ = """
from pathlib import Path
from codesign.folderlock import locked
folder = Path(sys.argv[1])
with locked(folder, tell=say):
    say((folder / "manifest.json").read_text())
"""


@contextmanager
def process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that talks by lines."""
    words = [sys.executable, "-c", TALK + code, *map(str, arguments)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def heard(running: subprocess.Popen[str]) -> str:
    """The next line it says."""
    assert running.stdout is not None
    return running.stdout.readline().strip()


def go_on(running: subprocess.Popen[str]) -> None:
    """It waits for nothing any more."""
    assert running.stdin is not None
    running.stdin.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Something that passes for a build folder."""
    made = tmp_path / "build"
    made.mkdir()
    (made / "manifest.json").write_text("old")
    return made


def beside(folder: Path) -> list[Path]:
    return sorted(path for path in folder.parent.iterdir() if path != folder)


def test_a_reader_is_waited_for_and_named(folder: Path) -> None:
    with process(HOLD, folder) as reader:
        assert heard(reader) == "reading"
        with process(REPLACE, folder) as writer:
            said = heard(writer)
            assert said.startswith(f"waiting for process {reader.pid} (") and str(folder) in said
            assert (folder / "manifest.json").read_text() == "old"
            go_on(reader)
            assert heard(writer) == "replaced"
    assert (folder / "manifest.json").read_text() == "new" and not beside(folder)


def test_a_killed_reader_blocks_nobody(folder: Path) -> None:
    with process(HOLD, folder) as reader:
        assert heard(reader) == "reading"
        reader.kill()
        reader.wait()
        with process(REPLACE, folder) as writer:
            assert heard(writer) == "replaced"


def test_generate_during_verify(tmp_path: Path) -> None:
    """It gave a false "differs": half of verify read one design, half the other."""
    for seed in (1, 2):
        onnx.save(mlp(Mlp(), seed), tmp_path / f"net{seed}.onnx")
    build = tmp_path / "build"
    codesign.generate(tmp_path / "net1.onnx", build, target_ii=24)
    before = BuildDir.open(build).manifest.model_sha256
    with process(VERIFY, build) as verify:
        assert heard(verify).startswith("RTL")
        with process(GENERATE, tmp_path / "net2.onnx", build) as generate:
            assert heard(generate).startswith(f"waiting for process {verify.pid}")
            assert BuildDir.open(build).manifest.model_sha256 == before
            go_on(verify)
            while (said := heard(verify)).startswith("RTL"):
                pass
            assert said == "proven"
            assert heard(generate) == "generated"
    assert BuildDir.open(build).manifest.model_sha256 != before
    assert not (build / "reports" / "verify.json").exists()


def test_a_reader_gets_the_folder_that_took_the_place(folder: Path) -> None:
    with ExitStack() as stack:
        with locked(folder, exclusive=True):
            reader = stack.enter_context(process(READ, folder))
            assert heard(reader).startswith(f"waiting for process {os.getpid()}")
            folder.rename(folder.with_name("away"))
            folder.mkdir()
            (folder / "manifest.json").write_text("new")
        assert heard(reader) == "new"


def test_reading_leaves_no_file_and_needs_no_right_to_write(folder: Path) -> None:
    folder.chmod(0o555)
    with BuildDir.open(folder).reading(), BuildDir.open(folder).reading():
        assert [path.name for path in folder.iterdir()] == ["manifest.json"]
    assert not beside(folder)


def test_what_a_killed_process_left_is_swept(folder: Path) -> None:
    stranger = folder.parent / f".build-other-abcd1234{OLD}"  # of a folder named build-other
    stranger.mkdir()
    with process(IN_THE_BLOCK, folder) as alive, process(IN_THE_BLOCK, folder) as killed:
        used, left = Path(heard(alive)), Path(heard(killed))
        assert left.name.endswith(NEW) and left.exists()
        killed.kill()
        killed.wait()
        with staged(folder) as work:
            (work / "manifest.json").write_text("new")
        assert used.exists() and not left.exists() and stranger.exists()


def test_a_folder_moved_aside_by_a_killed_process_comes_back(folder: Path) -> None:
    with process(HALF_WAY, folder) as killed:
        assert heard(killed) == "moved aside"
        killed.kill()
        killed.wait()
    assert not folder.exists()
    with pytest.raises(RuntimeError), staged(folder):
        raise RuntimeError("nothing was made")
    assert (folder / "manifest.json").read_text() == "old" and not beside(folder)


def test_a_failure_leaves_the_folder_as_it_was(folder: Path) -> None:
    with pytest.raises(RuntimeError), staged(folder) as work:
        (work / "manifest.json").write_text("new")
        raise RuntimeError("half-way")
    assert (folder / "manifest.json").read_text() == "old" and not beside(folder)


def test_what_is_the_users_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("notes", "file"):
        with pytest.raises(UsageError, match="not"), staged(tmp_path / name):
            pass
    assert (tmp_path / "notes" / "mine.txt").exists()


def test_through_a_link(folder: Path) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    with staged(link) as work:
        (work / "manifest.json").write_text("new")
    assert link.is_symlink() and (folder / "manifest.json").read_text() == "new"


def test_where_a_folder_cannot_be_moved(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the lower layer of a container's overlay: its folders can be removed, not moved."""
    rename = os.replace

    def refuse(source: Path, target: Path) -> None:
        if source == folder:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(source, target)

    monkeypatch.setattr("codesign.builddir.os.replace", refuse)
    with staged(folder) as work:
        (work / "manifest.json").write_text("new")
    assert (folder / "manifest.json").read_text() == "new" and not beside(folder)
