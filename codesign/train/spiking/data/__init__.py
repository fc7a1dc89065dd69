"""Streams of events, and signals, for training: one file each, registered by name."""

from codesign.train.spiking.data import edges, poisson, user  # noqa: F401  (enter their streams)
from codesign.train.spiking.data.events import STREAMS, Events
from codesign.train.spiking.data.signals import SIGNALS, Signals

__all__ = ["SIGNALS", "STREAMS", "Events", "Signals"]
