"""Every registered operation, model to RTL. A new one without an example here fails."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import numpy as np
import pytest

import codesign.frontend  # noqa: F401 - importing it registers every operation
import codesign.passes  # noqa: F401
from codesign.api import generate
from codesign.frontend import import_qonnx
from codesign.ir import REGISTRY
from codesign.ir.serialize import load_graph
from codesign.learnstart import starting_rule
from codesign.passes import lower
from codesign.spikes.bessel import design
from codesign.spikes.coders import Rate
from tests import attention_models, branch_models, quantizer_models, recurrent_models
from tests.cnn_models import cnn
from tests.models import Builder, Mlp, mlp
from tests.spiking import networks as spiking

QUANT = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"}


def chained(*steps: tuple[str, object], flatten: bool = False) -> object:
    """A 6-4 layer, the element-wise ``steps`` (operator, constant or None), a quantizer."""
    b = Builder(7)
    x = b.quant("x", "x_q", 0.125, 0, 4, **QUANT)
    x = b.node("Flatten", [x], "flat") if flatten else x
    weight = b.const("fc.weight", b.rng.normal(0, 0.5, (6, 4)))
    weight = b.quant(weight, "fc_w", 0.125, 0, 4, **QUANT)
    x = b.node("MatMul", [x, weight], "fc_mm")
    for index, (op, constant) in enumerate(steps):
        inputs = [x] if constant is None else [x, b.const(f"c{index}", constant)]
        x = b.node(op, inputs, f"step{index}")
    return b.model([2, 3] if flatten else 6, b.quant(x, "y", 0.25, 0, 4, **QUANT), 4, False)


def learning_rule(model: object) -> object:
    """How the layers of a spiking network learn."""
    return starting_rule(lower(import_qonnx(model).graph))


def softmaxed() -> object:
    """A layer and a Softmax, which the host computes from the circuit's sums."""
    b = Builder(7)
    x = b.quant("x", "x_q", 0.125, 0, 4, **QUANT)
    weight = b.const("fc.weight", b.rng.normal(0, 0.5, (6, 4)))
    x = b.node("MatMul", [x, b.quant(weight, "fc_w", 0.125, 0, 4, **QUANT)], "fc_mm")
    return b.model(6, b.node("Softmax", [x], "probabilities", axis=-1), 4, False)


def encoded() -> object:
    """Rate codes made in the circuit, two layers behind them."""
    return spiking.encoded_network(Rate(4, 3, 3, seed=1), (3, 4, 3))


#: What ``generate`` is told beside the target.
OPTIONS = {
    "event_conv": {"activity": 0.2},
    "event_dense": {"activity": 0.2},
    "event_learning": {"learn": learning_rule(spiking.event_network()), "target_ii": None},
    "event_pool": {"activity": 0.2},
    "headed_encode": {"learn": learning_rule(encoded()), "target_ii": None},
}
PER_CHANNEL = np.float32([0.5, -0.25, 0.3, 1.7])
EXAMPLES = {
    "quant": lambda: chained(),
    "dense": lambda: chained(),
    "matvec": lambda: chained(),
    "requant": lambda: chained(),
    "add": lambda: chained(("Add", PER_CHANNEL)),
    "sub": lambda: chained(("Sub", PER_CHANNEL)),
    "mul": lambda: chained(("Mul", PER_CHANNEL)),
    "div": lambda: chained(("Div", PER_CHANNEL)),
    "relu": lambda: chained(("Relu", None)),
    "reshape": lambda: chained(flatten=True),
    "batchnorm": lambda: mlp(Mlp(sizes=(6, 4), batch_norm=True, quantized_output=True), 3),
    "combine": branch_models.residual,
    "join": branch_models.residual,
    "table_join": branch_models.ratio,
    "concat": branch_models.concatenated,
    "rearrange": branch_models.sliced,
    "conv": lambda: cnn(size=2, channels=2, widths=(3,), classes=3),
    "convolve": lambda: cnn(size=2, channels=2, widths=(3,), classes=3),
    "max_pool": lambda: cnn(size=2, channels=2, widths=(3,), classes=3),
    "sum_pool": lambda: cnn(size=2, channels=2, widths=(3,), classes=3, pool="AveragePool"),
    "topk": branch_models.ranked,
    "delay": lambda: recurrent_models.model(recurrent_models.Recurrent(steps=3, hidden=2)),
    "dynamic_matmul": attention_models.scores,
    "softmax_codes": attention_models.weighted,
    "normalize": attention_models.normalized,
    "normalize_codes": attention_models.normalized,
    "softmax": softmaxed,
    "neuron": spiking.dense_network,
    "encode": lambda: spiking.encoded_network(Rate(3, 4, 4, seed=1), (4, 3)),
    "on_grid": spiking.dense_network,
    "first_spike": lambda: spiking.dense_network(metadata={"readout": "first_spike"}, theta=[12]),
    "bessel": lambda: spiking.smoothed_network(design(2, 0.3, 10, 4), theta=[12]),
    "event_conv": lambda: spiking.conv_network(again=True, pool=""),
    "event_dense": spiking.event_network,
    "event_learning": spiking.event_network,
    "event_pool": lambda: spiking.conv_network(again=True),
    "headed_encode": encoded,
    **quantizer_models.EXAMPLES,
    "argmax": lambda: mlp(Mlp(sizes=(6, 4), argmax=True, bias=False), 3),
}


def test_every_operation_has_an_example() -> None:
    assert set(EXAMPLES) == set(REGISTRY)


@pytest.fixture(scope="module")
def kinds_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], set[str]]:
    """The operations in an example's network, imported and built, once its circuit is proven.

    Several operations have one network in common: it is built once.
    """
    proven: dict[str, set[str]] = {}

    def prove(kind: str) -> set[str]:
        model = EXAMPLES[kind]()
        options = OPTIONS.get(kind, {})
        key = f"{sha256(model.SerializeToString(deterministic=True)).hexdigest()} {options}"
        if key not in proven:
            folder = tmp_path_factory.mktemp(kind) / "build"
            design = generate(model, folder, **{"target_ii": 12, **options})
            assert design.verify(random_frames=200, cocotb=False).ok
            imported, built = import_qonnx(model).graph, load_graph(design.path / "model")
            proven[key] = {n.op.kind for n in (*imported.nodes, *built.nodes)}
        return proven[key]

    return prove


@pytest.mark.parametrize("kind", EXAMPLES)
def test_reference_equals_rtl(kind: str, kinds_of: Callable[[str], set[str]]) -> None:
    assert kind in kinds_of(kind)
