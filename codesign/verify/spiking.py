"""What a spiking network does on the frames it was verified with: activity, work, traces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import ceil, log2

import numpy as np

from codesign.evidence import SpikingLayer, SpikingReport
from codesign.formats.base import bits_for
from codesign.ir import Graph, Node
from codesign.ops.convolve import Convolve
from codesign.ops.event_layer import EventLayer
from codesign.ops.matvec import MatVec
from codesign.ops.neuron import Neuron
from codesign.ops.reshape import origin
from codesign.verify.energy import energy_models
from codesign.verify.traces import is_membrane, traces

Codes = Mapping[str, np.ndarray]


def spiking_report(
    graph: Graph, codes: Codes, vectors: str, shown: int, recorded: Codes
) -> SpikingReport | None:
    """The report of ``graph`` (a circuit's); None where nothing spikes in it.

    ``codes``: int64 [frames, elements] of its tensors; ``recorded``: int64 [elements] of those
    the simulated circuit was sent and had in frame ``shown``.
    """
    neurons = [node for node in graph.nodes if isinstance(node.op, Neuron)]
    if not neurons:
        return None
    layers = [_layer(graph, node, codes) for node in neurons]
    fed = [layer for layer in layers if layer.dense_operations]
    steps = max(layer.steps for layer in layers)
    bits = ceil(log2(steps + 1))
    s_ace = sum(x.dense_operations * x.weight_bits * x.spike_bits for x in fed)
    return SpikingReport(
        vectors=vectors,
        frames=len(next(iter(codes.values()))),
        steps=steps,
        layers=layers,
        bit_budget=max((x.steps * x.weight_bits * x.spike_bits for x in fed), default=0),
        s_ace=s_ace,
        ns_ace=sum(
            x.dense_operations * x.weight_bits * x.spike_bits * x.inputs_active for x in fed
        ),
        equivalent_bits=bits,
        equivalent_ace=sum(x.dense_operations / x.steps * x.weight_bits * bits for x in fed),
        energy=energy_models(layers),
        traces=traces(neurons, graph, codes, shown, recorded),
        shown=shown,
    )


def busiest(graph: Graph, codes: Codes) -> int:
    """The frame to look at: of the first hundred the one with most spikes; the first one where
    states go on from frame to frame."""
    neurons = [node for node in graph.nodes if isinstance(node.op, Neuron)]
    if any(node.op.carries for node in neurons):
        return 0
    spikes = sum(np.count_nonzero(codes[node.output][:100], axis=1) for node in neurons)
    return int(np.argmax(spikes))


def _layer(graph: Graph, node: Node, codes: Codes) -> SpikingLayer:
    op, out = node.op, graph.out(node)
    assert isinstance(op, Neuron)
    spikes = codes[out.name]
    found = SpikingLayer(
        name=node.name,
        neurons=out.elements // op.steps,
        steps=op.steps,
        rate=None if is_membrane(op) else float((spikes != 0).mean()),
        state_bits=sum(state.word.bits for state in op.model.states),
    )
    feeder = graph.producer(node.inputs[0])
    if feeder is None or (name := origin(graph, feeder.inputs[0])) not in codes:
        return found
    synapses = feeder.op
    if isinstance(synapses, EventLayer):
        synapses = synapses.layer
    if not isinstance(synapses, MatVec | Convolve):
        return found
    source = graph.ins(feeder)[0]
    x = codes[name].reshape(-1, *source.shape)
    weights = synapses.weights
    return found.model_copy(
        update={
            "synapses": feeder.name,
            "inputs_active": float((x != 0).mean()),
            "synaptic_operations": _operations(synapses, graph, feeder, x),
            "dense_operations": synapses.frame_macs([source]),
            "weight_bits": bits_for(int(weights.min()), int(weights.max())),
            "spike_bits": source.format.bits,
        }
    )


def _operations(op: MatVec | Convolve, graph: Graph, node: Node, x: np.ndarray) -> float:
    """Synapses that an active input reaches, summed over a frame; mean of the frames."""
    weights, bias = np.ones_like(op.weights), np.zeros_like(op.bias)
    reach: MatVec | Convolve
    if isinstance(op, Convolve):
        reach = replace(op, weights=weights, bias=bias, pad_code=0)
    else:
        reach = replace(op, weights=weights, bias=bias)
    return float(reach.execute(graph.ins(node), (x != 0).astype(np.int64)).sum() / len(x))
