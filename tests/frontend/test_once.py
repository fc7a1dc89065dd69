"""Equal functions of one value are one: a quantizer called twice, on the input or within."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import ModelProto

from codesign.errors import UnsupportedModel
from codesign.frontend import import_qonnx
from codesign.passes import lower
from codesign.plan.partition import partition
from tests.branch_models import Branches
from tests.frontend.checks import agrees, judged, kinds

X = np.random.default_rng(0).normal(0, 1.5, (64, 6)).astype(np.float32)
Second = Callable[[Branches, str, str], str]


def same(b: Branches, x: str, name: str) -> str:
    """Another copy of the quantizer that :func:`twice` puts first."""
    return b.act(x, name)


def turned(b: Branches, x: str, name: str) -> str:
    """The same on a view of the tensor."""
    return b.node("Identity", [b.act(b.node("Identity", [x], f"{name}_x"), f"{name}_q")], name)


def twice(second: Second = same) -> ModelProto:
    """A residual around a layer, whose sides have a quantizer of the input each, and two copies
    of another quantizer further inside, each behind its own Relu."""
    b = Branches(21)
    side = b.node("Relu", [b.dense(b.act("x", "a"), "side", 6, 6)], "side_r")
    met = b.node("Add", [side, second(b, "x", "again")], "met")
    left, right = (b.act(b.node("Relu", [met], f"{n}_r"), n, 0.5) for n in ("left", "right"))
    y = b.node("Add", [b.dense(left, "fc", 6, 6), right], "y_sum")
    return b.model(6, b.act(y, "y", 0.5), 6, False)


@pytest.mark.parametrize("second", [same, turned])
def test_one_quantizer_called_twice_is_built(second):
    imported = agrees(twice(second), X)
    assert kinds(imported).count("quant") == 3 and kinds(imported).count("relu") == 2
    assert not judged(imported, X).mismatches
    assert partition(lower(imported.graph)).source.name == "a"


UNLIKE: dict[str, Second] = {
    "scale": lambda b, x, name: b.act(x, name, 0.5),
    "next scale": lambda b, x, name: b.act(x, name, np.nextafter(np.float32(0.25), 1)),
    "bits": lambda b, x, name: b.act(x, name, 0.25, 5),
    "zero point": lambda b, x, name: b.quant(x, name, 0.25, 1, 4, signed=1, narrow=0),
    "narrow": lambda b, x, name: b.quant(x, name, 0.25, 0, 4, signed=1, narrow=1),
    "rounding": lambda b, x, name: b.quant(
        x, name, 0.25, 0, 4, signed=1, narrow=0, rounding_mode="FLOOR"
    ),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_unlike_quantizers_of_the_input_are_refused_by_name(name):
    imported = agrees(twice(UNLIKE[name]), X)
    with pytest.raises(UnsupportedModel, match="quantized 2 times: a, again"):
        partition(lower(imported.graph))


def test_layers_with_equal_weights_stay_two():
    b = Branches(22)
    a = b.act("x", "a")
    weight = b.quant(b.const("w", b.rng.normal(0, 0.5, (6, 6))), "w_q", 0.125, 0, 4, signed=1)
    sides = [b.node("MatMul", [a, weight], f"side{n}") for n in (0, 1)]
    y = b.node("Sub", [b.act(s, f"{s}_q") for s in sides], "y_sum")
    imported = import_qonnx(b.model(6, b.act(y, "y", 0.5), 6, False))
    assert kinds(imported).count("dense") == 2 and kinds(imported).count("quant") == 4
