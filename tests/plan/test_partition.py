"""What of a lowered graph becomes the circuit, and what the host keeps."""

from __future__ import annotations

import numpy as np
from onnx import helper

from codesign.frontend import import_qonnx
from codesign.ops.concat import Concat
from codesign.ops.rearrange import Rearrange
from codesign.passes import lower
from codesign.plan import Circuit, partition
from codesign.reference import run
from tests.frontend.parts import WEIGHTS, model_of, quant

N = helper.make_node
CONSTANTS = {
    "s": np.float32(0.25),
    "z": np.float32(0),
    "bits": np.float32(4),
    "w": WEIGHTS,
    "first": np.array([0]),
    "twice": np.array([3, 0, 1, 2, 0]),
    "one": np.array([1]),
    "two": np.array([2]),
}
LAYER = [quant("x", "xq"), quant("w", "wq"), N("MatMul", ["xq", "wq"], ["m"], "m")]


def circuit(*steps: object) -> Circuit:
    """The layer, then ``steps`` from its codes 'q' to 'y'."""
    model = model_of([*LAYER, quant("m", "q"), *steps], CONSTANTS)
    made = partition(lower(import_qonnx(model).graph))
    x = np.random.default_rng(1).normal(0, 1, (20, 6)).astype(np.float32)
    whole = run(made.graph, {made.graph.inputs[0]: x}, keep=[made.target.name])
    rest = run(made.graph, {made.target.name: whole[made.target.name]})
    assert np.array_equal(rest[made.graph.outputs[0]], whole[made.graph.outputs[0]])
    return made


def kinds(made: Circuit) -> list[type]:
    return [type(n.op) for layer in made.layers for n in layer.nodes]


def test_copies_at_the_end_are_made_by_the_host() -> None:
    made = circuit(N("Gather", ["q", "twice"], ["y"], "copies", axis=1))
    assert Rearrange not in kinds(made)
    assert made.target.name == "q"


def test_a_selection_at_the_end_stays_in_the_circuit() -> None:
    made = circuit(N("Slice", ["q", "first", "two", "one"], ["y"], "some"))
    assert Rearrange in kinds(made)


def test_codes_no_format_holds_together_are_joined_by_the_host() -> None:
    model = model_of(
        [
            *LAYER,
            quant("m", "q"),
            N("Relu", ["q"], ["r"], "r"),
            N("Concat", ["q", "r"], ["y"], "cat", axis=1),
        ],
        CONSTANTS,
    )
    made = partition(lower(import_qonnx(model).graph))
    assert Concat not in kinds(made)
