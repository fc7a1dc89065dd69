"""``make bench``: what this tool claims about speed and area, measured in one run.

python -m benchmarks [--model digits.onnx] [--out results.json]
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.da4ml_compare import build_da4ml, build_ours, split_depths
from benchmarks.event_network import measure as measure_events
from benchmarks.network import digits_model, plain_layers
from benchmarks.planning import measure as measure_planning
from benchmarks.speed import measure as measure_speed
from benchmarks.spiking_rules import measure as measure_rules


def measure_area(layers: list, cycles: int, folder: Path) -> dict:
    """LUTs and registers of the same network, formats and cycles: da4ml and ours."""
    rows = {"da4ml half-up": build_da4ml(layers, cycles, folder)}
    depths = split_depths(layers, rows["da4ml half-up"]["cycles"])
    for rounding in ("half_up", "half_even"):
        rows[f"ours {rounding}"] = build_ours(layers, depths, rounding, folder)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a digits model; trained when left out")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results.json"))
    parser.add_argument("--cycles", type=int, default=12, help="pipeline registers of both sides")
    args = parser.parse_args()
    console = Console(width=110)
    model = digits_model(args.model)
    layers = plain_layers(model)
    with tempfile.TemporaryDirectory(prefix="codesign-bench-") as scratch:
        folder = Path(scratch)
        speed = measure_speed(model, layers, folder / "speed")
        console.print(table("frames a second, unrolled demo network", speed))
        planning = measure_planning(model, folder / "planning")
        console.print(table("planning and generation", planning))
        rules = measure_rules()
        console.print(table("learning rules of spiking networks, one thread", rules))
        area = measure_area(layers, args.cycles, folder / "area")
        luts = {name: row["luts"] for name, row in area.items()}
        luts["ours / da4ml"] = luts["ours half_even"] / luts["da4ml half-up"]
        console.print(table("LUTs after yosys synth_ecp5, same weights, formats, cycles", luts))
    events = measure_events()
    console.print(table("event-driven 784-128-10 network", events))
    result = {"machine": platform.processor() or platform.machine(), "speed": speed,
              "planning": planning, "spiking_rules": rules, "area": area,
              "events": events}  # fmt: skip
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    console.print(f"written: {args.out}")


def table(title: str, figures: dict[str, float]) -> Table:
    """Two columns: what, and how much."""
    shown = Table(title=title, title_justify="left")
    shown.add_column("")
    shown.add_column("", justify="right")
    for name, value in figures.items():
        shown.add_row(name, f"{value:,.3f}" if value < 100 else f"{value:,.0f}")
    return shown


if __name__ == "__main__":
    main()
