"""Plans in a build folder, for those who simulate its cycles again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from codesign.builddir import BuildDir, write_text_atomically
from codesign.ir.plan import Plan
from codesign.plan.dataflow import Dataflow, dataflow
from codesign.plan.partition import Circuit
from codesign.schema import Strict


class StoredPlans(Strict):
    """``model/plan.json``: the plan of every layer and the depth of every FIFO."""

    plans: dict[str, Plan]
    fifos: dict[str, int]


def save_plans(folder: Path, plans: Mapping[str, Plan], flow: Dataflow) -> None:
    """Write them into ``folder`` (the build's ``model``)."""
    fifos = {fifo.name: fifo.depth for fifo in flow.fifos}
    stored = StoredPlans(plans=dict(plans), fifos=fifos)
    write_text_atomically(folder / "plan.json", stored.model_dump_json(indent=1) + "\n")


def load_plans(build: BuildDir, circuit: Circuit) -> tuple[dict[str, Plan], Dataflow]:
    """The plans of ``build`` and the dataflow they make; ``UsageError`` where damaged."""
    stored = build.read("model/plan.json", StoredPlans)
    return stored.plans, dataflow(circuit, stored.plans, stored.fifos)
