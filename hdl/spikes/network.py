"""A spiking network that costs what its spikes cost: parts in a row, and its exact cycles."""

from dataclasses import dataclass

import numpy as np
from amaranth.lib import wiring

from codesign.hdl.argmax import ArgMax
from codesign.hdl.chain import Chain
from codesign.hdl.events import Sink, Source, Stage, link, simulate
from codesign.hdl.fifo import Fifo
from codesign.hdl.neurons import NeuronArray
from codesign.hdl.spikes.layer import EventLayer
from codesign.hdl.spikes.pack import SpikePack
from codesign.hdl.spikes.scan import SpikeScan

#: Parts whose cycles depend on the spikes that pass.
BY_SPIKES = (EventLayer, SpikePack, SpikeScan)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a run of frames does. ``values``: what each part gives, by name, int64
    [frames, ...]; ``taken`` and ``given``: cycles of the network's transfers, in and out, an
    always-valid source and an always-ready sink; ``ends``: of each frame's last output beat."""

    values: dict[str, np.ndarray]
    taken: list[int]
    given: list[int]
    ends: np.ndarray

    @property
    def cycles(self) -> np.ndarray:
        """Cycles between the ends of successive frames; of the first: from the first transfer."""
        return np.diff(self.ends, prepend=self.taken[0])


class EventNetwork(Chain):
    """``parts``, in order: encoders, then for each layer an :class:`EventLayer`, a
    :class:`NeuronArray` of as many lanes as its ``slice``, and a :class:`SpikeScan` where another
    event layer follows; decoders, an :class:`ArgMax` at the end. FIFOs may stand between.

    Where the first part is an event layer the input is a stream of events. Layers work on
    successive time steps at the same time.
    """

    def predict(self, frames: np.ndarray) -> Prediction:
        """The exact cycles of ``frames``, int [frames, elements] of codes or [frames, steps,
        elements] of spikes: data-dependent counts of beats in the event models of all parts."""
        values, stages, found = np.asarray(frames), [], {}
        beats = self._beats(values)
        for name, part in self._parts.items():
            stages.append(_timing(part, values))
            values = found[name] = _reference(name, part, values)
        chain: list[Stage] = [Source(beats), *stages, Sink()]
        for first, second in zip(chain, chain[1:], strict=False):
            link(first, second)
        simulate(chain)
        taken, given = chain[0].o.taken.at, chain[-1].i.taken.at
        ends = np.array(given[len(given) // len(frames) - 1 :: len(given) // len(frames)])
        if self._gives_events:
            spikes = np.count_nonzero(values.reshape(len(frames), -1), axis=1) + values.shape[1]
            ends = np.array(given)[np.cumsum(spikes) - 1]
        return Prediction(found, taken, given, ends)

    @property
    def _gives_events(self) -> bool:
        return "address" in _fields(list(self._parts.values())[-1].o)

    def _beats(self, values: np.ndarray) -> int:
        """Beats of the input."""
        port = next(iter(self._parts.values())).i
        if "address" in _fields(port):
            return int(np.count_nonzero(values)) + values.shape[0] * values.shape[1]
        return values.size // len(port.payload.data)


def _fields(port: object) -> list[str]:
    shape = port.payload.data.shape()  # type: ignore[attr-defined]
    return [str(name) for name, _ in shape]


def _timing(part: wiring.Component, values: np.ndarray) -> Stage:
    stage: Stage = part.timing(values) if isinstance(part, BY_SPIKES) else part.timing()
    return stage


def _reference(name: str, part: wiring.Component, values: np.ndarray) -> np.ndarray:
    """What ``part`` makes of ``values``."""
    if isinstance(part, Fifo):
        return values
    if isinstance(part, NeuronArray):
        return part.model.run(values)[0]
    if isinstance(part, ArgMax):
        return values.reshape(len(values), -1).argmax(axis=1)[:, None]
    if not hasattr(part, "reference"):
        raise TypeError(
            f"'{name}' is a {type(part).__name__}, whose values are not known here; an event "
            "network has the parts of codesign.hdl.spikes, NeuronArray, Fifo and ArgMax"
        )
    found: np.ndarray = part.reference(values)
    return found
