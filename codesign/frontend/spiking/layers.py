"""Layers of a spiking network with real parameters, channels first, without a batch axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.frontend.spiking.hold import Holder
from codesign.neurons import Neuron, Word

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One node of a network."""

    name: str


@dataclass(frozen=True, eq=False)
class Dense(Layer):
    """``weight @ x + bias``: float64 [out, in], [out] or None."""

    weight: np.ndarray
    bias: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Conv(Layer):
    """float64 ``weight`` [out, in / groups, k...], one number of ``stride``, ``dilation`` and
    (before, after) of ``padding`` an axis."""

    weight: np.ndarray
    bias: np.ndarray | None
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int


@dataclass(frozen=True)
class WindowSum(Layer):
    """The sum of each window times ``2**-shift``: sum pooling, and averages of 2**shift taps."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    shift: int


@dataclass(frozen=True)
class MaxPool(Layer):
    """The largest of each window."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]


@dataclass(frozen=True)
class Flatten(Layer):
    """Axes ``first`` to ``last`` (inclusive, from 0, the batch not counted) become one."""

    first: int
    last: int


@dataclass(frozen=True, eq=False)
class Scaled(Layer):
    """Each channel times its own factor, float64 [channels]."""

    factor: np.ndarray


@dataclass(frozen=True, eq=False)
class Chosen(Layer):
    """Only the channels that ``keep``, bool [channels], has; the others are 0."""

    keep: np.ndarray


@dataclass(frozen=True)
class DelayLine(Layer):
    """What comes out came in ``steps`` steps before; zeros at first."""

    steps: int


@dataclass(frozen=True, eq=False)
class Neurons(Layer):
    """``model``: makes the neurons, given the fraction bits of their input; they put out codes of
    ``out``, up to ``most``."""

    model: Callable[[int, Holder], Neuron]
    out: Word
    most: int


@dataclass(frozen=True)
class Network:
    """``edges``: (from, to) names of layers, or ``INPUT``; what reaches a layer is added up.
    ``delayed``: edges on which a value arrives one step later. The result is ``output``."""

    name: str
    input_shape: Shape
    layers: dict[str, Layer]
    edges: tuple[tuple[str, str], ...]
    delayed: frozenset[tuple[str, str]]
    output: str
    warnings: list[str] = field(default_factory=list)


#: Name of the network's input in edges; no layer can have it.
INPUT = ""


def window_size(size: int, kernel: int, stride: int, before: int, after: int, dilation: int) -> int:
    """How many windows fit along an axis."""
    return (size + before + after - dilation * (kernel - 1) - 1) // stride + 1


def per_channel(values: np.ndarray, shape: Shape, where: str) -> np.ndarray:
    """``values`` that broadcast to neurons of ``shape`` as float64 [1] or [channels].

    Raises :class:`UnsupportedModel` where they differ within a channel, or do not broadcast.
    """
    if not all(shape):
        hint = "leave the layer out, or export the network again"
        raise UnsupportedModel(f"neurons of shape {shape}: there are none", where=where, hint=hint)
    try:
        whole = np.broadcast_to(np.asarray(values, np.float64), shape).reshape(shape[0], -1)
    except ValueError:
        what = f"a parameter of shape {np.shape(values)} for neurons of shape {shape}"
        hint = "give one for all neurons, or one per channel"
        raise UnsupportedModel(what, where=where, hint=hint) from None
    if not np.isfinite(whole).all():
        hint = "the file is damaged, or training diverged: export again"
        raise UnsupportedModel("a parameter is not finite", where=where, hint=hint)
    first = whole[:, :1]
    if (whole != first).any():
        hint = "hardware keeps one for each channel: use the same for all pixels"
        raise UnsupportedModel("a parameter differs within a channel", where=where, hint=hint)
    return first[:1, 0] if (first == first[0]).all() else first[:, 0]
