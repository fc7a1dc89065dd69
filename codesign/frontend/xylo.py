"""Networks for SynSense's Xylo, as Rockpool specifies them (``config_from_specification``).

Hidden neurons with one or two synapses, fed by input channels and by each other, and a layer of
readouts: what XyloSim's ``XyloLayer`` computes, wherever no partial sum of the weights that reach a
synapse in one step leaves 16 bits (it clamps after each of them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.exchange import Metadata
from codesign.frontend.spiking import (
    Dense,
    Formats,
    Holder,
    Layer,
    Network,
    Neurons,
    SpikingModel,
    build,
)
from codesign.frontend.spiking.layers import INPUT
from codesign.frontend.spiking.lif import spikes_word
from codesign.frontend.spiking.policy import InputFormat, LeakFormat, StateFormat, WeightFormat
from codesign.neurons import Lif, Neuron, Word
from codesign.neurons.presets import xylo, xylo_current, xylo_membrane

#: Spikes a step that an input channel, a hidden neuron and a readout may have.
MOST_INPUT, MOST_HIDDEN, MOST_OUT = 15, 31, 1


@dataclass(frozen=True, eq=False)
class Xylo:
    """A network; names and shapes are Rockpool's. int64 arrays, or what becomes one.

    ``weights_in`` [inputs, hidden, synapses], ``weights_rec`` [hidden, hidden, synapses],
    ``weights_out`` [hidden, outputs]: 8 bits, times ``2**weight_shift``, 0..7. One synapse or two.
    ``dash``, ``threshold``, ``bias``: [hidden] or [outputs]. ``aliases``: for each hidden neuron,
    those that fire with it; none can be held.
    """

    weights_in: np.ndarray
    weights_rec: np.ndarray
    weights_out: np.ndarray
    dash_mem: np.ndarray
    dash_mem_out: np.ndarray
    dash_syn: np.ndarray
    dash_syn_out: np.ndarray
    threshold: np.ndarray
    threshold_out: np.ndarray
    bias_hidden: np.ndarray
    bias_out: np.ndarray
    dash_syn_2: np.ndarray | None = None
    weight_shift_in: int = 0
    weight_shift_rec: int = 0
    weight_shift_out: int = 0
    aliases: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            if name == "aliases":
                if any(value):
                    hint = "give each neuron weights of its own"
                    raise UnsupportedModel("neurons with aliases", where="Xylo", hint=hint)
            elif value is not None:
                object.__setattr__(self, name, _integers(name, value))
        inputs, hidden, synapses = self._shape_in()
        outputs = self.weights_out.shape[-1]
        self._check("weights_rec", (hidden, hidden, synapses))
        self._check("weights_out", (hidden, outputs))
        for name in ("dash_mem", "dash_syn", "threshold", "bias_hidden"):
            self._check(name, (hidden,))
        for name in ("dash_mem_out", "dash_syn_out", "threshold_out", "bias_out"):
            self._check(name, (outputs,))
        if synapses == 2:
            if self.dash_syn_2 is None:
                raise _wrong("dash_syn_2 is missing", "give the decay of the second synapse")
            self._check("dash_syn_2", (hidden,))

    def _shape_in(self) -> tuple[int, ...]:
        shape = self.weights_in.shape
        if len(shape) != 3 or shape[2] not in (1, 2) or 0 in shape:
            raise _wrong(f"weights_in of shape {shape}", "give [inputs, hidden, 1 or 2 synapses]")
        return shape

    def _check(self, name: str, shape: tuple[int, ...]) -> None:
        found = getattr(self, name).shape
        if found != shape:
            raise _wrong(f"{name} has shape {found}", f"the other parameters ask for {shape}")

    @property
    def synapses(self) -> int:
        """1 or 2."""
        return int(self.weights_in.shape[2])

    def weights(self, kind: str) -> np.ndarray:
        """int64 weights "in", "rec" or "out" with their shift; 8 bits before it."""
        codes, shift = getattr(self, f"weights_{kind}"), int(getattr(self, f"weight_shift_{kind}"))
        if codes.size and not -128 <= codes.min() <= codes.max() <= 127:
            raise _wrong(f"weights_{kind} leave 8 bits", "quantize them to -128..127")
        if not 0 <= shift <= 7:
            raise _wrong(f"weight_shift_{kind} is {shift}", "it lies in 0..7")
        return np.asarray(codes << shift)


def import_xylo(net: Xylo, time: Metadata) -> SpikingModel:
    """``net`` as an exchange model. Its input: spikes a step of each channel, 0..15.

    ``time.readout`` "membrane": the readouts put out their membranes, else their spikes.
    Hibernation saves power and changes no value: it has no part here. ``warnings`` names the
    synapses whose current could be clamped (where XyloSim may differ); without any, it cannot.

    Raises :class:`UnsupportedModel` naming a parameter that the chip cannot hold.
    """
    return build(_network(net, time.readout == "membrane"), _FORMATS, time)


def _network(net: Xylo, membrane: bool) -> Network:
    layers: dict[str, Layer] = {}
    edges: list[tuple[str, str]] = []
    late: set[tuple[str, str]] = set()

    def weigh(name: str, codes: np.ndarray, source: str, target: str) -> None:
        """``codes`` [from, to] between two layers; spikes of neurons arrive one step later."""
        if source == INPUT or codes.any():
            layers[name] = Dense(name, codes.T.astype(np.float64), None)
            edges.extend([(source, name), (name, target)])
            late.update([(source, name)] if source != INPUT else [])

    def cells(name: str, make: Callable[[], Lif], out: Word, most: int) -> None:
        layers[name] = Neurons(name, lambda frac, holder: _made(make, frac, holder), out, most)

    two = net.synapses == 2
    for index in range(net.synapses):
        target = f"synapse{index + 1}" if two else "hidden"
        weigh(f"in{index + 1}", net.weights("in")[..., index], INPUT, target)
        weigh(f"rec{index + 1}", net.weights("rec")[..., index], "hidden", target)
    given: dict[str, Any] = {"bias": net.bias_hidden, "max_spikes": MOST_HIDDEN}
    if two:
        for index, dash in enumerate((net.dash_syn, net.dash_syn_2)):
            assert dash is not None
            name = f"synapse{index + 1}"
            cells(name, partial(xylo_current, dash), _WORD, _WORD.hi)
            edges.append((name, "hidden"))
        cells("hidden", lambda: xylo_membrane(net.dash_mem, net.threshold, **given),
              spikes_word(MOST_HIDDEN), MOST_HIDDEN)  # fmt: skip
    else:
        cells("hidden", lambda: xylo(net.dash_mem, net.dash_syn, net.threshold, **given),
              spikes_word(MOST_HIDDEN), MOST_HIDDEN)  # fmt: skip
    if not net.weights("out").any():
        raise _wrong("weights_out are all 0", "connect a hidden neuron to the readouts")
    weigh("out", net.weights("out"), "hidden", "readout")

    def readout() -> Lif:
        own = xylo(net.dash_mem_out, net.dash_syn_out, net.threshold_out, bias=net.bias_out,
                   max_spikes=MOST_OUT)  # fmt: skip
        return replace(own, output="membrane") if membrane else own

    word = _WORD if membrane else spikes_word(MOST_OUT)
    cells("readout", readout, word, _WORD.hi if membrane else MOST_OUT)
    shape, warnings = (net.weights_in.shape[0],), [*_clamped(net)]
    return Network("Xylo", shape, layers, tuple(edges), frozenset(late), "readout", warnings)


def _clamped(net: Xylo) -> Iterator[str]:
    """Where a partial sum may leave 16 bits. With at most ``x`` a step, ``i = (i + x) - ((i + x)
    >> dash)`` stays below ``(x + 1) 2**dash``, and so does what it is added to."""
    for index, dash in enumerate([net.dash_syn, net.dash_syn_2][: net.synapses]):
        own = (net.weights(k)[..., index] for k in ("in", "rec"))
        yield from _reach(
            f"synapse {index + 1}", dash, zip(own, (MOST_INPUT, MOST_HIDDEN), strict=True)
        )
    out = [(net.weights("out"), MOST_HIDDEN)]
    yield from _reach("the synapse of the readouts", net.dash_syn_out, out)


def _reach(
    what: str, dash: np.ndarray | None, given: Iterable[tuple[np.ndarray, int]]
) -> Iterator[str]:
    """``given``: weights [from, to] and how many spikes a step may come from each."""
    assert dash is not None
    pairs = list(given)
    up, down = (
        sum((np.maximum(sign * w, 0).sum(0) * most for w, most in pairs), np.zeros(len(dash)))
        for sign in (1, -1)
    )
    far = np.count_nonzero((np.maximum(up, down) + 1) * 2.0**dash > _WORD.hi)
    if far:
        yield (
            f"{what} of {far} of {len(dash)} neurons could leave 16 bits if all that can fire "
            "does: XyloSim clamps after each weight, this after each step"
        )


def _made(make: Callable[[], Lif], frac: int, holder: Holder) -> Neuron:
    assert frac == 0, "spikes and weights are integers"
    try:
        return make()
    except ValueError as reason:
        raise _wrong(str(reason), "quantize the network for Xylo") from None


def _wrong(what: str, hint: str) -> UnsupportedModel:
    return UnsupportedModel(what, where="Xylo", hint=hint)


def _integers(name: str, value: object) -> np.ndarray | int:
    """int64 of what is integral; :class:`UnsupportedModel` if it is not."""
    found = np.asarray(value)
    if found.dtype.kind not in "iuf" or not np.isfinite(found).all() or (found % 1).any():
        raise _wrong(f"{name} is not made of integers", "quantize the network for Xylo")
    codes = found.astype(np.int64)
    return codes if name.startswith(("weights", "dash", "thr", "bias")) else int(codes)


_WORD = Word(16, 0, True, "sat_change")
_STATE = StateFormat(bits=16, frac=0, signed=True, overflow="sat_change")
_FORMATS = Formats(
    parameters="exact",
    rounding="exact",
    input=InputFormat(bits=4, frac=0, signed=False),
    weights=WeightFormat(bits=15, frac=0),
    state=_STATE,
    leak=LeakFormat(kind="shift_min1", frac=0),
)
