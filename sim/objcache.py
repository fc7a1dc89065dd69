"""Compile cache for Verilator's own runtime sources, used as make's ``OBJCACHE``.

Called as ``python -I -S objcache.py <root> <cache> g++ flags... -c -o out.o source.cpp``. A
source under ``<root>/include`` is compiled once into ``<cache>``, keyed by compiler, flags,
source text and headers; later calls copy the object. Everything else is passed to the compiler.
Safe for parallel processes: an entry is written beside its place and renamed.

Run as a script it imports nothing of codesign, so that it starts in some 15 ms.
"""

# ruff: noqa: PTH100, PTH103, PTH105, PTH108, PTH110, PTH116, PTH118, PTH119, PTH120, PTH122
# (no pathlib here: importing it would double the start-up time)
import hashlib
import os
import shutil
import sys
import tempfile


def main(arguments: list[str]) -> int:
    """Serve one compiler call; returns the exit status."""
    root, cache, command = arguments[0], arguments[1], arguments[2:]
    call = _runtime_call(os.path.join(root, "include"), command)
    if call is None:
        os.execvp(command[0], command)
    source, output = call
    entry = os.path.join(cache, _key(root, command, source, output) + ".o")
    if not os.path.exists(entry):
        os.makedirs(cache, exist_ok=True)
        status = _compile(command, output, entry)
        if status:
            return status
    shutil.copyfile(entry, output)
    return 0


def _runtime_call(include: str, command: list[str]) -> tuple[str, str] | None:
    """(source, object) when ``command`` compiles one runtime source, else None."""
    sources = [a for a in command[1:] if a.endswith(".cpp") and not a.startswith("-")]
    if "-c" not in command or len(sources) != 1:
        return None
    source = os.path.abspath(sources[0])
    if os.path.dirname(source) != os.path.abspath(include):
        return None
    if "-o" in command:
        return source, command[command.index("-o") + 1]
    return source, os.path.splitext(os.path.basename(source))[0] + ".o"


def _key(root: str, command: list[str], source: str, output: str) -> str:
    """Name of the cache entry: everything the object depends on."""
    digest = hashlib.sha256()
    compiler = os.path.realpath(shutil.which(command[0]) or command[0])
    stat = os.stat(compiler)
    flags = [a for a in command[1:] if a != output]
    parts = [compiler, str(stat.st_size), str(stat.st_mtime_ns), *flags]
    include = os.path.join(root, "include")
    with os.scandir(include) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.name.endswith(".h"):
                s = entry.stat()
                parts.append(f"{entry.name} {s.st_size} {s.st_mtime_ns}")
    digest.update("\0".join(parts).encode())
    with open(source, "rb") as file:
        digest.update(file.read())
    return os.path.basename(source) + "-" + digest.hexdigest()[:24]


def _compile(command: list[str], output: str, entry: str) -> int:
    """Compile to a temporary file beside ``entry`` and move it into place."""
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(entry), suffix=".tmp")
    os.close(handle)
    redirected = [temporary if a == output else a for a in command]
    if "-o" not in redirected:
        redirected += ["-o", temporary]
    # without -MMD: its dependency file would carry the temporary name
    redirected = [a for a in redirected if a not in ("-MMD", "-MP")]
    try:
        status = os.spawnvp(os.P_WAIT, redirected[0], redirected)
        if status == 0:
            os.replace(temporary, entry)
        return status
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
