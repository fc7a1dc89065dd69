"""Passes, one file each, and the order in which a model becomes circuit operations."""

from codesign.ir import Graph
from codesign.passes.absorb_bias import AbsorbBias
from codesign.passes.absorb_rearrange import AbsorbRearrange
from codesign.passes.base import Pass, PassError, run_passes
from codesign.passes.drop_identity import DropIdentity
from codesign.passes.event_synapses import EventSynapses
from codesign.passes.fold_offset import FoldOffset
from codesign.passes.hoist import Hoist
from codesign.passes.lower_argmax import LowerArgMax
from codesign.passes.lower_combine import LowerCombine
from codesign.passes.lower_conv import LowerConv
from codesign.passes.lower_dense import FoldBias, LowerDense
from codesign.passes.lower_normalize import LowerNormalize
from codesign.passes.lower_softmax import LowerSoftmax
from codesign.passes.make_loadable import MakeLoadable
from codesign.passes.orient import Orient
from codesign.passes.tabulate import Tabulate
from codesign.passes.waiting_delays import WaitingDelays


def lower(graph: Graph, *, runtime_weights: bool = False) -> Graph:
    """Model-level graph -> circuit operations on codes, with float32 only at the two ends.

    ``runtime_weights``: exact for all weights of the layers' formats, not only the trained ones.
    """
    return run_passes(
        graph,
        [
            *([MakeLoadable()] if runtime_weights else []),
            Hoist(),
            AbsorbRearrange(),
            LowerDense(),
            LowerConv(),
            FoldOffset(),
            LowerSoftmax(),
            LowerNormalize(),
            LowerCombine(),
            Tabulate(),
            DropIdentity(),
            FoldBias(),
            LowerArgMax(),
            Orient(),
            WaitingDelays(),
        ],
    )


__all__ = [
    "AbsorbBias",
    "AbsorbRearrange",
    "EventSynapses",
    "Pass",
    "PassError",
    "lower",
    "run_passes",
]
