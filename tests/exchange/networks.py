"""A network of neurons on file, and spikes for it."""

from __future__ import annotations

import numpy as np
import onnx

from codesign.exchange import Metadata, StepBuilder
from codesign.neurons import Leak, Synapse, Word
from tests.exchange.neurons import META, lif

GO_ON = META.model_copy(update={"reset_at_window": False})


def network(meta: Metadata = META) -> onnx.ModelProto:
    """Two layers, the second with recurrent weights and a synapse; an integer at every wire."""
    rng = np.random.default_rng(0)
    built = StepBuilder("net", (2, 4))
    word = Word(12, 4, True, "sat_step")
    first = lif(rounding="exact", input_frac=4, v0=[1, 2, 3], word=word)
    current = Synapse(word, Leak("shift_floor", [2]), "new", True)
    second = lif(rounding="exact", input_frac=0, synapse=current, refractory=1, word=word)
    w1 = built.constant("w1", rng.integers(-8, 25, (4, 3)) / 16)
    w2, again = (built.constant(n, rng.integers(-1, 4, (3, 3)) * 1.0) for n in ("w2", "again"))
    a = built.neuron(first, "A", built.node("MatMul", ["x", w1], "a_in"), (2, 3))
    before = built.state("B_before", (2, 3))
    sums = [built.node("MatMul", [a, w2], "b_in"), built.node("MatMul", [before, again], "b_own")]
    b = built.neuron(second, "B", built.node("Add", sums, "b_sum"), (2, 3))
    built.node("Identity", [b], "B_before_next")
    return built.model(b, (2, 3), meta)


def spikes(steps: int = 5) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 2, (2, steps, 4)).astype(np.float32)
