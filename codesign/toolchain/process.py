"""Run a tool as a subprocess: never a shell, a time limit, its log followed line by line."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from codesign.errors import ToolError

POLL_S = 0.2
PR_SET_PDEATHSIG = 1


def run_logged(
    argv: Sequence[str],
    *,
    what: str,
    cwd: Path,
    log: Path,
    timeout_s: float,
    stdin_text: str = "",
    on_line: Callable[[str], None] = lambda _: None,
) -> int:
    """Exit status of ``argv``, run in ``cwd`` with its output in ``log``.

    ``on_line`` gets each line as it appears. ``ToolError`` when ``timeout_s`` (seconds) pass; the
    whole process group is killed then, and also when this process is interrupted.
    """
    with log.open("wb") as output, log.open("rb") as follow:
        process = subprocess.Popen(
            list(argv),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            assert process.stdin is not None
            process.stdin.write(stdin_text.encode())
            process.stdin.close()
            _follow(process, follow, on_line, time.monotonic() + timeout_s)
        except TimeoutError:
            raise ToolError(
                f"{what} did not finish within {timeout_s:.0f} s",
                where=str(log),
                hint="choose a smaller folding, or allow more time",
            ) from None
        finally:
            _kill(process)
        return process.returncode


def _follow(process, follow, on_line, deadline: float) -> None:  # type: ignore[no-untyped-def]
    """Hand on lines until ``process`` ends; ``TimeoutError`` after ``deadline``."""
    pending = b""
    while True:
        ended = process.poll() is not None
        *lines, pending = (pending + follow.read()).split(b"\n")
        for line in lines:
            on_line(line.decode(errors="replace"))
        if ended:
            return
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(POLL_S)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and its children, if any are left."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def tail(log: Path, marker: str = "ERROR", lines: int = 3) -> str:
    """The lines of ``log`` that contain ``marker``, or its last ones."""
    text = log.read_text(errors="replace").splitlines()
    chosen = [line.strip() for line in text if marker in line][:lines]
    return "\n".join(chosen or [line.strip() for line in text[-lines:]])


def die_with_parent() -> None:
    """Called by a worker: the kernel kills it when its parent is killed (Linux; else nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
