"""Runs native yosys in a process of its own: ``python -m codesign.toolchain._yosys_worker``.

The job is JSON on standard input: ``{"script": [pass, ...], "keep": [module, ...]}``. The passes
run in the current folder; after the first one the modules in ``keep`` are marked so that they
survive flattening. Module names go through the yosys API, never through its command parser.
"""

from __future__ import annotations

import json
import sys

from codesign.toolchain.process import die_with_parent


def main() -> int:
    """Run the job; status 1 when a module to keep does not exist."""
    die_with_parent()
    job = json.load(sys.stdin)
    from pyosys import libyosys as ys

    design = ys.Design()
    first, *rest = job["script"]
    ys.run_pass(first, design)
    for name in job["keep"]:
        module = design.module(ys.IdString("\\" + name))
        if module is None:
            print(f"ERROR: the RTL has no module '{name}', which the manifest lists", flush=True)
            return 1
        module.set_bool_attribute(ys.IdString("\\keep_hierarchy"), True)
    for step in rest:
        ys.run_pass(step, design)
    return 0


if __name__ == "__main__":
    sys.exit(main())
