"""What ``generate`` makes of a spiking network with ``--activity`` and ``--learn``."""

from __future__ import annotations

from pathlib import Path

from codesign.errors import UsageError
from codesign.ir import Graph
from codesign.learnfile import LearnFile
from codesign.ops.expected import Expected
from codesign.ops.matvec import MatVec
from codesign.passes import EventSynapses, run_passes
from codesign.passes.event_synapses import event_layers
from codesign.passes.expected import Activity, expected_spikes
from codesign.passes.teach import Teach, neuron_row
from codesign.plan import partition

#: Share of spikes that layers that learn are planned for where nobody says another.
LEARNING_ACTIVITY = 0.2


def event_driven(
    graph: Graph,
    activity: Activity | None,
    learn: LearnFile | None = None,
    recording: Path | None = None,
    runtime_weights: bool = False,
) -> Graph:
    """``graph`` (lowered) with the layers between spikes event-driven where ``activity`` is given,
    and those of ``learn`` learning. ``recording``: for ``measured`` activity."""
    if learn is not None:
        return _taught(graph, learn, activity, recording, runtime_weights)
    if activity is None:
        return graph
    return run_passes(graph, [EventSynapses(expected_spikes(graph, activity, recording))])


def _taught(
    graph: Graph,
    learn: LearnFile,
    activity: Activity | None,
    recording: Path | None,
    runtime_weights: bool,
) -> Graph:
    """The dense layers behind those that learn, if any, are event-driven where ``activity`` is
    given. Measured are the spikes that the model makes before it learns."""
    if runtime_weights:
        raise UsageError(
            "--runtime-weights and --learn exclude each other",
            hint="leave out --runtime-weights: the weights of layers that learn can be written",
        )
    source = partition(graph).source
    planned: dict[str, Expected] = {}
    if neuron_row(graph, source):  # without, Teach says what is missing
        share = LEARNING_ACTIVITY if activity is None else activity
        planned = expected_spikes(graph, share, recording)
    graph = run_passes(graph, [Teach(learn, source.name, planned)])
    if activity is not None and any(isinstance(n.op, MatVec) for n in graph.nodes):
        behind = {node.name: planned[node.name] for node in event_layers(graph)}
        graph = run_passes(graph, [EventSynapses(behind)])
    return graph
