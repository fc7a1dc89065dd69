"""The demo network, as a model file and as the plain layers da4ml is given."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.da4ml_compare import Layer
from codesign.frontend import import_qonnx
from codesign.ops.matvec import MatVec
from codesign.ops.requant import Requant
from codesign.ops.requant_fit import fit_shift
from codesign.passes import lower


def digits_model(given: Path | None) -> Path:
    """``given``, or the demo's recipe trained now (the same seed gives the same network)."""
    if given is not None:
        return given
    from codesign.train import recipe

    path = Path(tempfile.mkdtemp(prefix="codesign-bench-")) / "digits.onnx"
    recipe.save(recipe.train("digits"), path)
    return path


def plain_layers(model: Path) -> list[Layer]:
    """Weights, biases and shifts in accumulator steps, read from our own integer graph."""
    graph = lower(import_qonnx(model).graph)
    layers: list[Layer] = []
    for node in graph.nodes:
        if isinstance(node.op, MatVec):
            layers.append(Layer(node.op.weights, node.op.bias, None))
        elif isinstance(node.op, Requant):
            fit = fit_shift(node.op)
            if fit is None or fit.fraction or fit.rounding != "half_even":
                raise SystemExit(f"'{node.name}' is no shift da4ml could be given")
            bias = layers[-1].bias + np.broadcast_to(fit.bias, layers[-1].bias.shape)
            layers[-1] = Layer(layers[-1].weights, bias, fit.shift)
    return layers
