"""Spiking networks on file: neuron models as operators of an ONNX domain of our own.

docs/EXCHANGE.md is the specification."""

from codesign.exchange import alpha, egru, lif, snu  # noqa: F401  (each enters its operator)
from codesign.exchange.coders import encoder_node, read_encoder
from codesign.exchange.decoded import with_decoder
from codesign.exchange.decoder import decoder_node, read_decoder
from codesign.exchange.domain import (
    DOMAIN,
    VERSION,
    check_version,
    is_decoder,
    is_encoder,
    is_neuron,
)
from codesign.exchange.encoded import with_encoder
from codesign.exchange.execute import execute
from codesign.exchange.inline import decompose, inline, with_functions, without_functions
from codesign.exchange.metadata import Metadata, read_metadata, write_metadata
from codesign.exchange.node import NeuronNode, Ports, Read, neuron_node, read_neuron, read_node
from codesign.exchange.recompose import recompose
from codesign.exchange.run import Run, run_steps
from codesign.exchange.scan import to_scan, to_step
from codesign.exchange.step import StateAt, StepBuilder, neurons_of, states_of

__all__ = [
    "DOMAIN",
    "VERSION",
    "Metadata",
    "NeuronNode",
    "Ports",
    "Read",
    "Run",
    "StateAt",
    "StepBuilder",
    "check_version",
    "decoder_node",
    "decompose",
    "encoder_node",
    "execute",
    "inline",
    "is_decoder",
    "is_encoder",
    "is_neuron",
    "neuron_node",
    "neurons_of",
    "read_decoder",
    "read_encoder",
    "read_metadata",
    "read_neuron",
    "read_node",
    "recompose",
    "run_steps",
    "states_of",
    "to_scan",
    "to_step",
    "with_decoder",
    "with_encoder",
    "with_functions",
    "without_functions",
    "write_metadata",
]
