"""Runs a WebAssembly nextpnr: ``python -m codesign.toolchain._nextpnr_worker FAMILY ARGUMENT...``.

Goes through the wheel's Python entry point, so nothing has to be on PATH.
"""

from __future__ import annotations

import importlib
import sys

from codesign.toolchain.process import die_with_parent


def main() -> int:
    """Exit status of nextpnr."""
    die_with_parent()
    family, *arguments = sys.argv[1:]
    package = importlib.import_module(f"yowasp_nextpnr_{family}")
    return int(getattr(package, f"run_nextpnr_{family}")(arguments) or 0)


if __name__ == "__main__":
    sys.exit(main())
