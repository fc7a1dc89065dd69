"""Quantize the parameters of a network once for many steps that each want gradients.

Inside :func:`leaves`, weight layers compute with quantized weights that are leaves of their own:
each step's backward ends there and frees what it kept. On leaving, what the leaves gathered goes
on through the quantizers to the parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from codesign.train.needs import need
from codesign.train.spiking.layer import SpikingLayer
from codesign.train.spiking.network import SpikingNet, plain

torch = need("torch")


def weight_layers(module: Any) -> list[Any]:
    """Linear and 2-D convolution layers with a Brevitas weight quantizer and nothing else
    quantized: those whose forward pass is their quantized weights' product."""
    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    return [
        layer
        for layer in module.modules()
        if isinstance(layer, kinds)
        and getattr(getattr(layer, "weight_quant", None), "is_quant_enabled", False)
        and layer.bias is None
        and not layer.input_quant.is_quant_enabled
        and not layer.output_quant.is_quant_enabled
    ]


@contextmanager
def leaves(net: SpikingNet) -> Iterator[dict[int, Any]]:
    """Yields the leaf weights by ``id`` of their layer."""
    pairs: list[tuple[Any, Any]] = []
    held: dict[int, Any] = {}
    layers = weight_layers(net)
    neurons = [m for m in net.modules() if isinstance(m, SpikingLayer)]
    for layer in layers:
        value = plain(layer.quant_weight())
        held[id(layer)] = leaf = value.detach().requires_grad_()
        pairs.append((value, leaf))
        layer.forward = _product(layer, leaf)
    for neuron in neurons:
        for name in neuron.learn:
            value = neuron.parameter(name)
            leaf = value.detach().requires_grad_()
            pairs.append((value, leaf))
            neuron.held[name] = leaf
    try:
        yield held
    finally:
        for layer in layers:
            del layer.forward
        for neuron in neurons:
            neuron.held.clear()
    used = [(value, leaf.grad) for value, leaf in pairs if leaf.grad is not None]
    if used:
        torch.autograd.backward([value for value, _ in used], [grad for _, grad in used])


def _product(layer: Any, weight: Any) -> Any:
    if isinstance(layer, torch.nn.Linear):
        return lambda x: torch.nn.functional.linear(plain(x), weight)
    return lambda x: layer._conv_forward(plain(x), weight, None)
