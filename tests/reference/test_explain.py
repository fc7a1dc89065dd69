"""Differences within float32 error are explained, anything beyond is not."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from codesign.frontend import import_qonnx
from codesign.frontend.execute import execute_batch
from codesign.ir import Graph
from codesign.passes import lower
from codesign.reference import run
from codesign.reference.boundaries import OFF_GRID, boundaries
from codesign.reference.explain import Explainer
from codesign.verify.chain import compare
from tests.frontend.parts import WEIGHTS, model_of, quant

N = helper.make_node
RNG = np.random.default_rng(2)


def near_ties(graph: Graph, name: str, x: np.ndarray) -> tuple[Explainer, dict, np.ndarray]:
    explainer = Explainer(graph, name)
    found = run(graph, {graph.inputs[0]: x}, keep=[*explainer.sources, name])
    return explainer, found, found[name]


def network(kind: str) -> object:
    constants = {
        "s": np.float32(0.1),
        "z": np.float32(0),
        "bits": np.float32(4),
        "ws": np.float32(0.07),
        "w": WEIGHTS,
        "b": np.float32([0.3, -0.2, 0.1, 0.7]),
        "so": np.float32(0.31),
    }
    shape: tuple[int, ...] = (1, 6)
    nodes = [quant("x", "q"), quant("w", "wq", scale="ws")]
    if kind == "conv":
        shape = (1, 2, 4, 4)
        constants["w"] = RNG.normal(0, 0.3, (4, 2, 3, 3)).astype(np.float32)
        nodes += [N("Conv", ["q", "wq", "b"], ["f"], "c", pads=[1, 1, 1, 1])]
    elif kind == "join":
        nodes += [
            N("MatMul", ["q", "wq"], ["m"], "m"),
            N("Add", ["m", "b"], ["f1"], "a"),
            quant("q", "r", signed=0),
            N("MatMul", ["r", "wq"], ["m2"], "m2"),
            N("Add", ["f1", "m2"], ["f"], "j"),
        ]
    elif kind == "chain":  # no quantizer between: the second sum's terms deviate already
        nodes += [quant("w2", "w2q", scale="ws"), N("MatMul", ["q", "wq"], ["m"], "m")]
        nodes += [N("Reshape", ["m", "shape"], ["mr"], "r"), N("MatMul", ["mr", "w2q"], ["f"], "n")]
        constants["w2"] = RNG.normal(0, 0.3, (4, 4)).astype(np.float32)
        constants["shape"] = np.array([1, 4])
    elif kind == "product":
        nodes += [
            N("MatMul", ["q", "wq"], ["m"], "m"),
            N("Reshape", ["m", "left"], ["a"], "ra"),
            N("Reshape", ["m", "right"], ["c"], "rc"),
            N("MatMul", ["a", "c"], ["f"], "p"),
        ]
        constants |= {"left": np.array([1, 2, 2]), "right": np.array([1, 2, 2])}
    else:
        nodes += [N("MatMul", ["q", "wq"], ["m"], "m"), N("Add", ["m", "b"], ["f0"], "a")]
        nodes += (
            [N("Sigmoid", ["f0"], ["f"], "sg")]
            if kind == "sigmoid"
            else [N("Relu", ["f0"], ["f"], "r")]
        )
    return model_of([*nodes, quant("f", "y", scale="so")], constants, shape=shape)


@pytest.mark.parametrize("kind", ["dense", "conv", "join", "sigmoid", "chain", "product"])
def test_only_neighbours_of_a_threshold_are_explained(kind: str) -> None:
    graph = import_qonnx(network(kind)).graph
    x = RNG.normal(0, 0.6, (64, *graph.values[graph.inputs[0]].shape)).astype(np.float32)
    name = graph.outputs[0]
    explainer, found, codes = near_ties(graph, name, x)
    assert explainer.sources
    flat = codes.reshape(len(x), -1)
    sources = {s: found[s].reshape(len(x), -1) for s in explainer.sources}
    assert explainer.explains(sources, flat).all()
    assert not explainer.explains(sources, flat + 2).any()
    assert explainer.explains(sources, flat + 1).sum() <= flat.size // 100


def test_a_sum_at_a_threshold_is_explained() -> None:
    """0.3 * 5 + 0.3 lies within rounding of a tie of scale 1.2 at code 1.5."""
    constants = {
        "s": np.float32(0.3),
        "z": np.float32(0),
        "bits": np.float32(4),
        "w": np.float32([[1], [1]]),
        "one": np.float32(1),
        "so": np.float32(0.2),
    }
    nodes = [
        quant("x", "q"),
        quant("w", "wq", scale="one"),
        N("MatMul", ["q", "wq"], ["m"], "m"),
        quant("m", "y", scale="so"),
    ]
    graph = import_qonnx(model_of(nodes, constants, shape=(1, 2))).graph
    explainer, found, codes = near_ties(graph, graph.outputs[0], np.float32([[0.3, 0], [0.3, 0.3]]))
    sources = {s: found[s].reshape(2, -1) for s in explainer.sources}
    assert int(codes[0, 0]) in (1, 2)
    allowed = [explainer.explains(sources, np.full((2, 1), code))[:, 0].tolist()
               for code in (1, 2, 3)]  # fmt: skip
    assert allowed[0][0] and allowed[1][0] and not allowed[2][0] and not allowed[1][1]


@pytest.mark.parametrize("layers", [1, 2])
def test_an_accumulator_off_the_grid_is_explained_or_a_mismatch(layers: int) -> None:
    """Dense layers with no power of two among their scales at the end of the network: their sums,
    added in float32, are no codes at all."""
    constants = {
        "s": np.float32(0.1),
        "z": np.float32(0),
        "bits": np.float32(6),
        "ws": np.float32(0.07),
        "w": np.random.default_rng(4).normal(0, 1, (40, 8)).astype(np.float32),
    }
    nodes = [
        quant("x", "q"),
        quant("w", "wq", scale="ws"),
        N("MatMul", ["q", "wq"], ["y"], "m"),
    ]
    if layers == 2:
        constants["v"] = np.random.default_rng(6).normal(0, 1, (8, 5)).astype(np.float32)
        nodes[-1] = N("MatMul", ["q", "wq"], ["m"], "m")
        nodes += [quant("v", "vq", scale="ws"), N("MatMul", ["m", "vq"], ["y"], "n")]
    imported = import_qonnx(model_of(nodes, constants, shape=(1, 40)))
    lowered = lower(imported.graph)
    points = boundaries(lowered, imported.tensor_names, imported.tensor_axes)
    x = np.random.default_rng(5).normal(0, 2, (64, 40)).astype(np.float32)
    keep = [p.value.name for p in points]
    ours = run(lowered, {lowered.inputs[0]: x}, keep=keep)
    floats = execute_batch(imported, x, [p.tensor for p in points])
    expected = {name: ours[name].reshape(len(x), -1) for name in keep}
    theirs = {p.value.name: p.codes(floats[p.tensor]) for p in points}
    assert max(int(codes.max()) for codes in theirs.values()) >= OFF_GRID
    sides = {"model": imported.graph, "graph": lowered, "inputs": x, "seed": 1, "started": 0.0}
    found = compare("q", "x", points, expected, theirs, **sides)
    assert found.mismatches == 0 and found.explained > 0
    wrong = np.nextafter(floats["y"], np.float32(np.inf)) + np.float32({1: 1e-3, 2: 0.05}[layers])
    theirs[points[-1].value.name] = points[-1].codes(wrong)
    found = compare("q", "x", points, expected, theirs, **sides)
    assert found.mismatches == wrong.size
