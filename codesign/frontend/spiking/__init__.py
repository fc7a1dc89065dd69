"""What front ends of spiking frameworks share: a policy that says every format, a graph of layers
with real parameters, and its way to an exchange model."""

from codesign.frontend.spiking.build import SpikingModel, build
from codesign.frontend.spiking.hold import Change, Holder
from codesign.frontend.spiking.layers import (
    Chosen,
    Conv,
    DelayLine,
    Dense,
    Flatten,
    Layer,
    MaxPool,
    Network,
    Neurons,
    Scaled,
    WindowSum,
)
from codesign.frontend.spiking.policy import Formats, read_toml

__all__ = [
    "Chosen",
    "Change",
    "Conv",
    "DelayLine",
    "Dense",
    "Flatten",
    "Formats",
    "Holder",
    "Layer",
    "MaxPool",
    "Network",
    "Neurons",
    "Scaled",
    "SpikingModel",
    "WindowSum",
    "build",
    "read_toml",
]
