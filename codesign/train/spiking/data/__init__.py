"""Streams of events for training: one file each, registered by name."""

from codesign.train.spiking.data import edges, poisson, user  # noqa: F401  (enter their streams)
from codesign.train.spiking.data.events import STREAMS, Events

__all__ = ["STREAMS", "Events"]
