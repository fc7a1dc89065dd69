"""The maximum of spikes times T, ..., 1 is the first spike's operation, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, helper, numpy_helper

from codesign.exchange.sequence import as_sequence
from codesign.frontend import import_qonnx
from codesign.frontend.handlers import pool
from codesign.frontend.qonnx import Imported
from codesign.reference import run
from tests.spiking.networks import Network, dense_network, finished

FIRST = {"readout": "first_spike"}


def vectors(**changes: Any) -> ModelProto:
    """Dense layers of neurons that spike now and then."""
    return dense_network(metadata=FIRST, **{"theta": [12], **changes})


def map_network() -> ModelProto:
    """Spikes of a map go out."""
    net = Network((2, 3, 4))
    at, size = net.conv(net.quant("x", "xq", 2, 4), (2, 3, 4), "conv", 3, 3, 1)
    return finished(net, net.spiking(at, size, "lif0"), size, 5, **FIRST)


def weighed(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[], ModelProto]:
    """The dense network with other weights along time."""

    def make() -> ModelProto:
        model = as_sequence(vectors())
        (left,) = (t for t in model.graph.initializer if t.name.endswith("_left"))
        left.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(left)), left.name))
        return model

    return make


def reduced_otherwise(axes: list[int]) -> Callable[[], ModelProto]:
    """The dense network with a maximum over ``axes``."""

    def make() -> ModelProto:
        model = as_sequence(vectors())
        (found,) = (a for a in model.graph.node[-1].attribute if a.name == "axes")
        found.ints[:] = axes
        shape = model.graph.output[0].type.tensor_type.shape
        shape.dim[1].dim_value = 7  # the steps are left
        if len(axes) > 1:
            del shape.dim[1]
        return model

    return make


def read_twice() -> ModelProto:
    """The products are counted too."""
    model = as_sequence(vectors())
    early, name = model.graph.node[-1].input[0], model.graph.output[0].name
    axes = numpy_helper.from_array(np.array([1]), "again_axes")
    model.graph.initializer.append(axes)
    model.graph.node.append(
        helper.make_node("ReduceSum", [early, axes.name], ["again"], keepdims=0)
    )
    model.graph.node.append(helper.make_node("Concat", [name, "again"], ["both"], axis=-1))
    model.graph.output[0].name = "both"
    model.graph.output[0].type.tensor_type.shape.dim[-1].dim_value *= 2
    return model


def results(imported: Imported, frames: int = 60) -> np.ndarray:
    graph = imported.graph
    x = graph.values[graph.inputs[0]]
    floats = np.random.default_rng(2).integers(-8, 8, (frames, *x.shape)).astype(np.float32) / 4
    out = graph.outputs[0]
    codes = run(graph, {x.name: floats}, keep=[out])[out]
    return graph.values[out].format.decode(codes)


def kinds(imported: Imported) -> list[str]:
    return [node.op.kind for node in imported.graph.nodes]


@pytest.mark.parametrize("make", [vectors, map_network])
def test_it_is_one_operation(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = import_qonnx(make())
    assert "first_spike" in kinds(imported)
    assert not {"mul", "max_pool"} & set(kinds(imported))
    monkeypatch.setattr(pool, "first_spike", lambda *_: None)
    as_written = import_qonnx(make())
    assert {"mul", "max_pool"} <= set(kinds(as_written))
    wanted = results(as_written)
    assert np.array_equal(results(imported), wanted)
    assert len(np.unique(wanted)) > 3 and wanted.min() == 0
    end = imported.graph.outputs[0]
    assert imported.tensor_axes[end] == as_written.tensor_axes[as_written.graph.outputs[0]]


OTHERWISE = {
    "weights that end at 0": weighed(lambda left: left - 1),
    "weights that rise": weighed(lambda left: left[:, ::-1]),
    "fractions": weighed(lambda left: left / 2),
    "over neurons": reduced_otherwise([2]),
    "over time and neurons": reduced_otherwise([1, 2]),
    "several spikes a step": lambda: vectors(spike_levels=3, reset_timing="same"),
}


@pytest.mark.parametrize("kind", OTHERWISE)
def test_what_says_something_else_stays(kind: str) -> None:
    assert "first_spike" not in kinds(import_qonnx(OTHERWISE[kind]()))


def test_products_that_are_read_elsewhere_stay() -> None:
    found = import_qonnx(read_twice())
    assert {"first_spike", "mul"} <= set(kinds(found))
