"""Recurrent loops of a circuit: where they start, and what runs ahead of the input."""

from __future__ import annotations

from codesign.ops.delay import Delay
from codesign.plan.partition import Circuit, Layer
from codesign.reference.loops import loop_of


def frames_ahead(circuit: Circuit) -> dict[str, int]:
    """Layers whose first steps of a frame depend only on initial states, or on the frame before
    where loops go on, which delays offer before the frame has come; and how many frames they may
    have begun so.

    One behind delays shorter than a frame; more behind such as are together as long as a frame,
    or longer: what they put out of a whole frame are initial states.
    """
    delays = [layer for layer in circuit.layers if _closes(layer)]
    known: dict[str, int] = {}  # value -> steps of a frame that need nothing of it
    before: dict[str, int] = {}
    while not known or known != before:
        before = dict(known)
        for layer in circuit.layers:
            steps = min(known.get(source.name, 0) for source in layer.sources)
            head = layer.nodes[0].op
            if isinstance(head, Delay) and head.persistent:
                steps += not head.waits  # the last step of the frame before is the first
            elif isinstance(head, Delay) and (steps or not head.waits):
                # one more; and where that ends a frame, the next one's initial state at once
                steps += 1 + ((steps + 1) % head.steps == 0)
            steps = min(steps, 2 * len(circuit.layers))  # a loop of delays alone has no end
            known[layer.target.name] = steps
    frame = min((layer.target.shape[0] for layer in delays), default=1)
    found = {layer.name: known[layer.target.name] for layer in circuit.layers}
    return {name: steps // frame + 1 for name, steps in found.items() if steps}


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
