"""Spiking networks on file: neuron models as operators of an ONNX domain of our own.

docs/EXCHANGE.md is the specification."""

from codesign.exchange import lif as _lif  # noqa: F401  (enters the operator)
from codesign.exchange.domain import DOMAIN, VERSION, check_version, is_neuron
from codesign.exchange.metadata import Metadata, read_metadata, write_metadata
from codesign.exchange.node import NeuronNode, Ports, Read, neuron_node, read_neuron, read_node
from codesign.exchange.scan import to_scan, to_step
from codesign.exchange.step import StateAt, StepBuilder, neurons_of, states_of

__all__ = [
    "DOMAIN",
    "VERSION",
    "Metadata",
    "NeuronNode",
    "Ports",
    "Read",
    "StateAt",
    "StepBuilder",
    "check_version",
    "is_neuron",
    "neuron_node",
    "neurons_of",
    "read_metadata",
    "read_neuron",
    "read_node",
    "states_of",
    "to_scan",
    "to_step",
    "write_metadata",
]
