"""Spiking networks on file: neuron models as operators of an ONNX domain of our own.

docs/EXCHANGE.md is the specification."""

from codesign.exchange import lif as _lif  # noqa: F401  (enters the operator)
from codesign.exchange.domain import DOMAIN, VERSION, check_version, is_neuron
from codesign.exchange.metadata import Metadata, read_metadata, write_metadata
from codesign.exchange.node import NeuronNode, Ports, Read, neuron_node, read_neuron, read_node

__all__ = [
    "DOMAIN",
    "VERSION",
    "Metadata",
    "NeuronNode",
    "Ports",
    "Read",
    "check_version",
    "is_neuron",
    "neuron_node",
    "read_metadata",
    "read_neuron",
    "read_node",
    "write_metadata",
]
