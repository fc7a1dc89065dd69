"""Recurrent loops of a circuit: where they start, and what runs ahead of the input."""

from __future__ import annotations

from codesign.ops.delay import Delay
from codesign.plan.partition import Circuit, Layer
from codesign.reference.loops import loop_of


def early_layers(circuit: Circuit) -> set[str]:
    """Names of the layers whose first beats of a frame depend on initial states only: a delay
    offers them before the frame has come."""
    early: set[str] = set()
    values: set[str] = set()
    before = -1
    while before < len(early):
        before = len(early)
        for layer in circuit.layers:
            if _closes(layer) or all(source.name in values for source in layer.sources):
                early.add(layer.name)
                values.add(layer.target.name)
    return early


def _closes(layer: Layer) -> bool:
    """Whether it is a delay that closes a loop."""
    op = layer.nodes[0].op
    return isinstance(op, Delay) and not op.waits


def loop_values(circuit: Circuit) -> set[str]:
    """Names of the values that delays read: the streams that close loops."""
    return {source.name for layer in circuit.layers if _closes(layer) for source in layer.sources}


def loop_steps(circuit: Circuit) -> dict[str, int]:
    """Layers that stand in a loop, and its steps.

    What such a layer gives in one step decides what it reads in the next, so none of its beats
    may hold elements of two steps. Loops are followed through reshapes, which are no layers.
    """
    found: dict[str, int] = {}
    for layer in circuit.layers:
        head = layer.nodes[0]
        if head.op.delays:
            inside = {node.name for node in loop_of(circuit.graph, circuit.graph.nodes, head)}
            steps = layer.target.shape[0]
            found |= {x.name: steps for x in circuit.layers if x.nodes[0].name in inside}
    return found
