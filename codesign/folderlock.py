"""A lock on a folder, between processes: many read it, or one replaces it.

The lock is the kernel's (``flock``) on the folder itself: no file is written, so it works where
the folder is read-only, it follows the folder when that is renamed, and it ends with the process
that holds it, however that ended. On a file system without such locks nobody waits.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

Tell = Callable[[str], None]

#: What a file system says that has no such locks (some network shares).
NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EBADF}


@contextlib.contextmanager
def locked(folder: Path, *, exclusive: bool = False, tell: Tell = lambda _: None) -> Iterator[None]:
    """Hold ``folder`` while the block runs: shared with other readers, or ``exclusive``.

    Waits until whoever is in the way has ended, and ``tell``s who that is. When another folder
    took this one's place meanwhile, it is that one that is held.

    Raises ``FileNotFoundError`` when there is no such folder.
    """
    handle = _hold(folder, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH, tell)
    try:
        yield
    finally:
        os.close(handle)


def abandoned(folder: Path) -> bool:
    """Whether nobody holds ``folder``; False where that cannot be told."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _hold(folder: Path, kind: int, tell: Tell) -> int:
    while True:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if not _flock(handle, kind | fcntl.LOCK_NB):
                tell(f"waiting for {holders(handle) or 'another process'}, which uses {folder}")
                _flock(handle, kind)
            if _is_at(handle, folder):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _flock(handle: int, kind: int) -> bool:
    """Whether the lock was taken (or the file system has none)."""
    try:
        fcntl.flock(handle, kind)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True


def _is_at(handle: int, folder: Path) -> bool:
    """Whether what was opened is still at ``folder``."""
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False


def holders(handle: int) -> str:
    """The processes that hold a lock on an open folder: "process 12 ('codesign verify build')".

    Empty where the system does not tell (``/proc/locks`` is Linux's).
    """
    status = os.fstat(handle)
    where = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    found = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()  # 1: FLOCK ADVISORY READ 1234 fe:00:5678 0 EOF
            if len(words) > 5 and words[1] == "FLOCK" and words[5] == where:
                found.append(_describe(words[4]))
    return " and ".join(dict.fromkeys(found))


def _describe(process: str) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
        if command := " ".join(word for word in words if word)[:120]:
            return f"process {process} ({command!r})"
    return f"process {process}"
