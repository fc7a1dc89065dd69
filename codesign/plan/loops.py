"""Recurrent loops of a circuit: where they start, and what runs ahead of the input."""

from __future__ import annotations

from codesign.plan.partition import Circuit


def early_layers(circuit: Circuit) -> set[str]:
    """Names of the layers whose first beats of a frame depend on initial states only: a delay
    offers them before the frame has come."""
    early: set[str] = set()
    values: set[str] = set()
    before = -1
    while before < len(early):
        before = len(early)
        for layer in circuit.layers:
            delays = layer.nodes[0].op.delays
            if delays or all(source.name in values for source in layer.sources):
                early.add(layer.name)
                values.add(layer.target.name)
    return early


def loop_values(circuit: Circuit) -> set[str]:
    """Names of the values that delays read: the streams that close loops."""
    return {
        source.name
        for layer in circuit.layers
        if layer.nodes[0].op.delays
        for source in layer.sources
    }
