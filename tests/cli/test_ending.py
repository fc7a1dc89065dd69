"""Each way a run can end has its exit code, one message, and no traceback."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from codesign.cli import verbs
from codesign.cli.ending import run
from codesign.errors import MismatchError, UsageError


def raising(error: BaseException):
    """A verb that ends with ``error``."""

    def call() -> None:
        raise error

    return call


def endless(depth: int = 0) -> int:
    return 1 + endless(depth + 1)


@pytest.fixture(autouse=True)
def logs(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("CODESIGN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "logs"


@pytest.mark.parametrize(
    "error", [KeyError("x"), ValueError("8 pixels\nneed one group"), MemoryError(), OSError("odd")]
)
def test_an_internal_error_is_one_line_and_a_log(error: Exception, logs: Path, capsys) -> None:
    assert run(raising(error), ["verify", "build"]) == 70
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err
    assert f"internal error: {type(error).__name__}" in err and "test_ending.py:" in err
    (log,) = logs.iterdir()
    assert str(log) in err
    text = log.read_text()
    assert "Traceback" in text and "['verify', 'build']" in text and "numpy " in text


def test_endless_recursion_is_an_internal_error(logs: Path, capsys) -> None:
    assert run(endless, []) == 70
    assert "RecursionError" in capsys.readouterr().err and len(list(logs.iterdir())) == 1


def test_an_internal_error_as_json(capsys) -> None:
    assert run(raising(KeyError("x")), ["verify", "--json"]) == 70
    found = json.loads(capsys.readouterr().out)
    assert found["exit_code"] == 70 and "KeyError" in found["error"]


def test_a_log_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CODESIGN_CACHE", str(tmp_path / "file"))
    assert run(raising(KeyError("x")), []) == 70
    err = capsys.readouterr().err
    assert "could not be written" in err and "Traceback" not in err


@pytest.mark.parametrize(
    "error, code",
    [
        (MismatchError("differs"), 1),
        (UsageError("no"), 2),
        (OSError(errno.ENOSPC, "No space left on device"), 2),
        (FileNotFoundError(errno.ENOENT, "No such file", "x.onnx"), 2),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141),
        (KeyboardInterrupt(), 130),
    ],
)
def test_other_ends_write_no_log(error: BaseException, code: int, logs: Path) -> None:
    command = [sys.executable, "-c", "import sys; from tests.cli.test_ending import raising, run\n"
               f"from codesign.errors import *\nsys.exit(run(raising({error!r}), []))"]  # fmt: skip
    if code == 141:  # within a test, standard output is not to be led away
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (141, "")
    else:
        assert run(raising(error), []) == code
    assert not logs.exists()


def test_exit_code_one_is_only_for_a_mismatch(
    model_file: Path, tmp_path: Path, monkeypatch
) -> None:
    """Whatever fails inside a verb, it is not 'circuit and model differ'."""
    import codesign.api

    def broken(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(codesign.api, "generate", broken)
    call = verbs.generate
    assert run(lambda: call(model_file, tmp_path / "b", quiet=True), []) == 70


def codesign(options: str, stdout: int, stderr: int = subprocess.PIPE):
    """The command line in a process of its own, its output led to a file descriptor."""
    command = [sys.executable, "-c", "from codesign.cli import main; main()", *options.split()]
    return subprocess.run(command, stdout=stdout, stderr=stderr, text=True, check=False)


@pytest.mark.parametrize("options", ["--help", "--version", "doctor", "doctor --json"])
def test_a_closed_pipe_ends_silently(options: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = codesign(options, writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("options", ["--help", "doctor --json", "verify /nonexistent --json"])
def test_a_full_disk_is_a_message(options: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with Path("/dev/full").open("w") as full:
        done = codesign(options, full.fileno())
        assert done.returncode == 2, done.stderr
        assert "No space left on device" in done.stderr and "Traceback" not in done.stderr
        assert codesign(options, full.fileno(), full.fileno()).returncode == 2
