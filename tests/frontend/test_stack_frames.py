"""A batch axis that Transposes and Reshapes move: for a batch of one they move nothing.

The model as it was written, run by qonnx on one frame after the other, is the truth; the
rewritten one must give every tensor of it for many frames at once.
"""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

from codesign.errors import UnsupportedModel
from codesign.frontend import import_qonnx
from codesign.frontend.execute import execute_batch
from codesign.passes import lower
from codesign.plan.partition import partition
from tests.attention_models import UNSIGNED, model
from tests.branch_models import ATTRS, Branches
from tests.frontend.checks import agrees, judged

TOKENS, WIDTH, HEADS = 3, 4, 2
X = np.random.default_rng(3).normal(0, 1, (24, TOKENS, 6)).astype(np.float32)


def attention() -> ModelProto:
    """As PyTorch computes it: (tokens, 1, features), heads beside the batch, and back."""
    b = Branches(31)
    x = b.node("Transpose", [b.act("x", "a")], "x_t", perm=[1, 0, 2])
    q, k, v = (b.dense(x, name, WIDTH, 6) for name in ("query", "key", "value"))
    q, k, v = (
        b.node("Reshape", [t, b.ints(f"{t}_heads", [TOKENS, HEADS, 2])], f"{t}_split")
        for t in (q, k, v)
    )
    q, v = (b.act(b.node("Transpose", [t], f"{t}_t", perm=[1, 0, 2]), f"{t}_q") for t in (q, v))
    k = b.act(b.node("Transpose", [k], "k_t", perm=[1, 2, 0]), "k_q")
    s = b.act(b.node("MatMul", [q, k], "qk"), "s", 0.25, 6)
    p = b.quant(b.node("Softmax", [s], "p", axis=-1), "pq", np.float32(1 / 255), 0, 8, **UNSIGNED)
    y = b.node("Transpose", [b.node("MatMul", [p, v], "pv")], "pv_t", perm=[1, 0, 2])
    y = b.node("Reshape", [y, b.ints("join", [TOKENS, 1, WIDTH])], "y_join")
    y = b.act(b.dense(b.act(y, "y_q"), "out", 6, WIDTH), "out_q")
    y = b.node("Add", ["a", b.node("Transpose", [y], "y_t", perm=[1, 0, 2])], "sum")
    return model(b, [TOKENS, 6], b.act(y, "y"), [TOKENS, 6])


def dropped(back: bool = True) -> ModelProto:
    """A batch of one that is dropped for a while: rows, a Gemm with a bias, a softmax along the
    features, the middle rows; then an axis in front of all, or the rows as they are."""
    b = Branches(32)
    x = b.node("Squeeze", [b.act("x", "a"), b.ints("first", [0])], "rows")
    weight = b.quant(b.const("w", b.rng.normal(0, 0.5, (5, 6))), "w_q", 0.125, 0, 4, **ATTRS)
    bias = b.const("bias", b.rng.normal(0, 0.5, 5))
    y = b.act(b.node("Gemm", [x, weight, bias], "gemm", transB=1), "g")
    p = b.quant(b.node("Softmax", [y], "p", axis=1), "pq", 1 / 32, 0, 5, **UNSIGNED)
    y = b.node("Concat", [y, p], "both", axis=1)
    y = b.node("Slice", [y, b.ints("low", [1]), b.ints("high", [3]), b.ints("at", [0])], "some")
    y = b.act(y, "y_last", 0.5)
    if not back:
        return model(b, [TOKENS, 6], y, [TOKENS - 1, 10])
    y = b.node("Unsqueeze", [y, "first"], "y")
    return model(b, [TOKENS, 6], y, [1, TOKENS - 1, 10])


def ranks() -> ModelProto:
    """A stacked tensor meets one of fewer axes, and constants of either number of axes."""
    b = Branches(33)
    a = b.act("x", "a")
    deep = b.node("Unsqueeze", [a, b.ints("front", [0])], "deep")
    turned = b.node("Transpose", [deep], "turned", perm=[2, 1, 0, 3])
    met = b.node("Add", [turned, b.act(b.dense(a, "fc", 6, 6), "f")], "met")
    met = b.node("Add", [met, b.const("place", b.rng.normal(0, 1, (TOKENS, 1, 1, 6)))], "placed")
    met = b.node("Mul", [met, b.const("gain", b.rng.normal(1, 0.2, 6))], "gained")
    mean = b.node("ReduceMean", [b.act(met, "m"), b.ints("over", [2])], "mean", keepdims=0)
    y = b.act(b.node("Transpose", [mean], "home", perm=[1, 0, 2]), "y")
    return model(b, [TOKENS, 6], y, [TOKENS, 6])


def first_of_batch() -> ModelProto:
    """``x[0]``, ``x.view(-1, features)`` and ``flatten(0, 1)`` drop the batch too."""
    b = Branches(34)
    a = b.act("x", "a")
    index = b.ints("zero", [0])
    b.inits[-1].dims[:] = []
    one = b.act(b.dense(b.node("Gather", [a, index], "one", axis=0), "g", 4, 6), "one_q")
    two = b.act(b.dense(b.node("Reshape", [a, b.ints("r", [-1, 6])], "two"), "r", 4, 6), "two_q")
    three = b.act(b.dense(b.node("Flatten", [a], "three", axis=2), "f", 4, 6), "three_q")
    y = b.node("Add", [b.node("Add", [one, two], "sum2"), three], "sum3")
    y = b.node("Reshape", [b.act(y, "y_q", 0.5), b.ints("again", [1, TOKENS, 4])], "y")
    return model(b, [TOKENS, 6], y, [TOKENS, 4])


def frame_by_frame(proto: ModelProto, x: np.ndarray, name: str) -> np.ndarray:
    """Tensor ``name`` of the model as it was written, for each frame on its own."""
    wrapped = ModelWrapper(proto).transform(InferShapes())
    return np.stack([execute_onnx(wrapped, {"x": frame[None]}, True)[name] for frame in x])


MODELS = {
    "attention": attention,
    "dropped": dropped,
    "rows leave": lambda: dropped(False),
    "ranks": ranks,
    "first": first_of_batch,
}


@pytest.mark.parametrize("name", MODELS)
def test_every_frame_is_what_the_model_makes_of_it_alone(name):
    proto = MODELS[name]()
    imported = import_qonnx(proto)
    assert any(node.name.endswith("/stacked") for node in imported.model.graph.node)
    found = judged(imported, X)
    assert not found.mismatches, found.first
    output = proto.graph.output[0].name
    alone = frame_by_frame(proto, X, output)
    together = execute_batch(imported, X, [output])[output]
    assert np.array_equal(together.reshape(alone.shape), alone)


@pytest.mark.parametrize("name", MODELS)
def test_it_is_built(name):
    assert partition(lower(import_qonnx(MODELS[name]()).graph)).layers


def test_a_batch_that_stays_first_is_left_alone():
    b = Branches(35)
    a = b.node("Transpose", [b.act("x", "a")], "a_t", perm=[0, 2, 1])
    y = b.act(b.node("Reshape", [a, b.ints("flat", [1, -1])], "flat_a"), "y")
    imported = agrees(model(b, [TOKENS, 6], y, [TOKENS * 6]), X)
    assert not [n.name for n in imported.model.graph.node if "stacked" in n.name]


def test_what_has_no_rule_is_refused_by_name():
    b = Branches(36)
    rows = b.node("Transpose", [b.act("x", "a")], "turned", perm=[1, 0, 2])
    y = b.node("CumSum", [rows, b.ints("axis", [0])], "summed")
    with pytest.raises(UnsupportedModel, match=r"node 'turned' .*moves the batch axis"):
        import_qonnx(model(b, [TOKENS, 6], b.act(y, "y"), [TOKENS, 6]))


def test_batches_of_several_frames_are_never_mixed():
    b = Branches(37)
    y = b.act(b.node("Transpose", [b.act("x", "a")], "turned", perm=[1, 0, 2]), "y")
    proto = model(b, [TOKENS, 6], y, [TOKENS, 6])
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    with pytest.raises(UnsupportedModel, match="moves the batch axis"):
        import_qonnx(proto)
