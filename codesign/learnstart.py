"""A rule file to begin with, for the layers of a network that can learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from codesign.builddir import write_text_atomically
from codesign.errors import UnsupportedModel, UsageError
from codesign.frontend import import_qonnx, load_model
from codesign.ir import Graph, Node
from codesign.learnfile import LearnFile
from codesign.learning import fast_sigmoid
from codesign.neurons import Lif, Word
from codesign.ops.neuron import Neuron
from codesign.passes import lower
from codesign.passes.teach import neuron_row
from codesign.plan import partition

#: Fraction bits that learned weights have beyond the model's.
FINER = 6
#: Psi's table: entries, of codes of so many bits and fraction bits, and its slope.
ENTRIES, PSI_BITS, PSI_FRAC, SLOPE = 32, 5, 4, 1.5

HEAD = """\
# How the layers of {model} learn on the chip: docs/LEARNING.md has the equations.
# Neurons, thresholds and first weights come from the model. Words: codes of `bits` bits worth
# 2^-frac, clamped. Every field must stand here; none has a default.
version = 1
classes = {classes}
"""
LAYER = """
[layers.{name}]
# Trace of an input: tr = fit(leak(tr) + spike). mul_floor: amount / 2^frac of it is left.
pre = {pre}
pre_leak = {pre_leak}
# Psi = table[min(|v - theta| >> shift, last)]; the last entry 0 lets far neurons cost nothing.
psi = {psi}
# Trace of an output: trPsi = fit(leak(trPsi) + Psi); the same frac as Psi.
post = {post}
post_leak = {post_leak}
# The learning signal m, and the factors G = 2^-pre_shift m Psi, H = 2^-post_shift m trPsi.
signal_bits = {signal_bits}
factor = {factor}
# w = fit(w - 2^-rate_shift (G tr + H spike)); at least the model's {frac} fraction bits.
weight = {weight}
# How sums of finer weights come to the membrane's fraction bits: model (as its neurons say), or
# floor, trunc0, half_even where those say exact.
current_rounding = {current_rounding}
pre_shift = {pre_shift}
post_shift = {post_shift}   # or "none": only the inputs' traces count (e-prop)
rate_shift = {rate_shift}
rounding = "{rounding}"   # floor, trunc0, half_even
# Scores of the classes are sums of the signs of what spikes; nothing is learned where the
# target's leads by the margin. identity: outputs are classes; random of a seed; given as rows.
signs = {signs}
margin = {margin}
"""


def write_rule(model: Path, out: Path, *, force: bool = False) -> LearnFile:
    """Write ``out``, TOML with comments or (``.json``) JSON, for ``model``; what it says."""
    if out.suffix not in (".toml", ".json"):
        raise UsageError("a rule file is TOML or JSON", where=str(out), hint="name it .toml")
    if out.exists() and not force:
        raise UsageError("it exists already", where=str(out), hint="give --force to replace it")
    graph = lower(import_qonnx(load_model(model)).graph)
    rule = starting_rule(graph)
    text = rule.model_dump_json(indent=1, exclude_none=True) + "\n"
    write_text_atomically(out, text if out.suffix == ".json" else _toml(rule, model.name))
    return rule


def starting_rule(graph: Graph) -> LearnFile:
    """A rule for all layers of ``graph`` (lowered) that can learn; ``UnsupportedModel`` where the
    network does not begin with dense layers of LIF neurons."""
    row = [neurons for _, neurons in neuron_row(graph, partition(graph).source)]
    if not row:
        raise UnsupportedModel(
            "no dense layer of spiking neurons reads this network's input",
            hint="layers that learn are dense, feed-forward, of LIF neurons, spikes at the input",
        )
    classes = graph.out(row[-1]).shape[-1]
    layers = {
        node.name: _layer(node, graph.out(node).shape[-1], classes, index, node is row[-1])
        for index, node in enumerate(row)
    }
    return LearnFile.model_validate({"version": 1, "classes": classes, "layers": layers})


def _lif(node: Node) -> Lif:
    assert isinstance(node.op, Neuron)
    if not isinstance(node.op.model, Lif):
        raise UnsupportedModel(
            f"neurons of type {type(node.op.model).__name__} do not learn on the chip",
            where=f"layer '{node.name}'",
        )
    return node.op.model


def _layer(node: Node, outputs: int, classes: int, index: int, last: bool) -> dict[str, Any]:
    """The choices of a layer: words as short as digits need, a Psi as wide as 4 thresholds."""
    model = _lif(node)
    theta = max(1, int(np.median(model.theta)))
    shift = max(0, theta.bit_length() - 4)
    table = fast_sigmoid(
        Word(PSI_BITS, PSI_FRAC, False, "sat_step"),
        theta=theta,
        slope=SLOPE,
        entries=ENTRIES,
        shift=shift,
    ).table.tolist()
    frac = model.input_frac + FINER
    return {
        "pre": {"bits": 6, "frac": 3, "overflow": "sat_step"},
        "pre_leak": {"kind": "mul_floor", "amount": 6, "frac": 3},
        "psi": {"bits": PSI_BITS, "frac": PSI_FRAC, "shift": shift, "table": table},
        "post": {"bits": 6, "frac": PSI_FRAC, "overflow": "sat_step"},
        "post_leak": {"kind": "mul_floor", "amount": 2, "frac": 3},
        "signal_bits": 3,
        "factor": {"bits": 8, "frac": 4, "overflow": "sat_step"},
        "current_rounding": "floor" if model.rounding == "exact" else "model",
        "weight": {"bits": frac + 4, "frac": frac, "overflow": "sat_step"},
        "pre_shift": 0,
        "post_shift": 2,
        "rate_shift": 4 if last else 6,
        "rounding": "half_even",
        "signs": {"kind": "identity"} if last else {"kind": "random", "seed": index + 1},
        "margin": 3 if last else 16,
    }


def _toml(rule: LearnFile, model: str) -> str:
    text = HEAD.format(model=model, classes=rule.classes)
    for name, layer in rule.layers.items():
        fields = layer.model_dump(exclude_none=True)
        values = {key: _inline(value) for key, value in fields.items()}
        values["rounding"] = layer.rounding
        text += LAYER.format(name=name, frac=layer.weight.frac - FINER, **values)
    return text


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_inline(v)}" for k, v in value.items()) + "}"
    return f'"{value}"' if isinstance(value, str) else str(value)
