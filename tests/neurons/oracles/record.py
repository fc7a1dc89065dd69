"""Runs one oracle on its cases and writes ``recorded/NAME.json``: digests of every spike and state.

    python tests/neurons/oracles/record.py NAME [--sources FOLDER]

with the interpreter that has the oracle; README.md beside this file says how to get each.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import sys
from pathlib import Path

from cases import BLOCK, CASES, digests


def main() -> None:
    """Record one oracle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("oracle", choices=CASES)
    parser.add_argument("--sources", type=Path, default=Path())
    given = parser.parse_args()
    oracle = importlib.import_module(f"of_{given.oracle}")
    cases, steps = {}, 0
    for case in CASES[given.oracle]:
        found = oracle.run(case, given.sources)
        steps += case.steps * case.neurons
        spikes = int(found["spikes"].sum())
        cases[case.name] = {"spikes fired": spikes} | {n: digests(c) for n, c in found.items()}
        print(case.name, {n: (int(c.min()), int(c.max())) for n, c in found.items()}, spikes)
    sources = {
        f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in oracle.files(given.sources)
    }
    written = {
        "oracle": (oracle.__doc__ or "").strip().split("\n\n")[0].replace("\n", " "),
        "sources": sources,
        "neuron steps": steps,
        "block": BLOCK,
        "cases": cases,
    }
    target = Path(__file__).parent / "recorded" / f"{given.oracle}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(written, indent=1) + "\n")
    sys.stdout.write(f"{target}: {steps} steps of neurons\n")


if __name__ == "__main__":
    main()
