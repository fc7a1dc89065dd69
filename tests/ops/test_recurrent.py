"""Recurrent networks from model to RTL: loops are exact, live, and as fast as predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codesign.api import generate
from codesign.builddir import BuildDir
from codesign.errors import UsageError
from codesign.ir.serialize import load_graph
from codesign.ops.delay import Delay
from tests import recurrent_models
from tests.recurrent_models import Recurrent, model

RECIPES = [
    Recurrent("rnn", steps=5),
    Recurrent("late", steps=3, layout="rows", result="last"),
    Recurrent("gru", steps=4, layout="time", result="last"),
    pytest.param(
        Recurrent("lstm", steps=3, layout="columns", result="layer"), marks=pytest.mark.slow
    ),
    Recurrent("lstm", steps=8, hidden=3, factor=0.77, backward=True),
]
GOALS = [{"target_ii": 400}, {"target_ii": 1}, {"unrolled": True}]


def proven(proto, folder: Path, **goal) -> BuildDir:
    """Generated and verified; latency and interval are those predicted."""
    design = generate(proto, folder / "build", **goal)
    report = design.verify(random_frames=100, cocotb=False)
    build = BuildDir.open(design.path)
    assert (report.latency, report.ii) == (build.manifest.latency, build.manifest.ii)
    return build


@pytest.mark.parametrize("goal", GOALS[:1], ids=str)
@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_circuits_equal_the_reference(recipe: Recurrent, goal: dict, tmp_path: Path) -> None:
    build = proven(model(recipe), tmp_path, **goal)
    graph = load_graph(build.root / "model")
    assert any(isinstance(node.op, Delay) for node in graph.nodes)


@pytest.mark.parametrize("goal", GOALS[1:], ids=str)
def test_fast_loops(goal: dict, tmp_path: Path) -> None:
    """No beat holds two steps, and the storage found suffices, whatever the folding."""
    proven(model(Recurrent("lstm", steps=4, hidden=4)), tmp_path, **goal)


def test_two_loops_in_a_row(tmp_path: Path) -> None:
    proven(recurrent_models.stacked(), tmp_path, target_ii=200)


def test_no_state_leaks_between_frames(tmp_path: Path) -> None:
    """The same frame gives the same result, whatever came before it."""
    design = generate(model(Recurrent("rnn", steps=3)), tmp_path / "build", target_ii=100)
    frame = np.random.default_rng(5).normal(0, 2, (1, 3, 3)).astype(np.float32)
    others = np.random.default_rng(6).normal(0, 9, (20, 3, 3)).astype(np.float32)
    others[::2] = frame
    assert design.verify(others, cocotb=False).ok


def test_cocotb_benches(tmp_path: Path) -> None:
    """Resets in mid-frame and idle gaps: a loop starts afresh, and ahead of its input."""
    design = generate(model(Recurrent("rnn", steps=3, hidden=2)), tmp_path / "b", target_ii=60)
    assert design.verify(random_frames=30).ok


def test_a_folding_that_mixes_steps_is_refused(tmp_path: Path) -> None:
    """Several steps side by side would wait for themselves: said before anything is written."""
    (tmp_path / "plan.toml").write_text("[layers.h_new_h]\npe = 4\nsimd = 4\npixels = 5\n")
    with pytest.raises(UsageError, match=r"layers\.h_new_h.*cannot be built") as raised:
        generate(model(Recurrent()), tmp_path / "build", config=tmp_path / "plan.toml")
    assert "pixels may be 1 (a loop computes one of its 5 steps at a time)" in raised.value.hint
    assert not (tmp_path / "build").exists()
