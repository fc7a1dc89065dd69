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


def is_weight_layer(layer: Any) -> bool:
    """Whether this is a linear or 2-D convolution layer with a Brevitas weight quantizer and
    nothing else quantized, so that its forward pass is its quantized weights' product."""
    return (
        isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
        and getattr(getattr(layer, "weight_quant", None), "is_quant_enabled", False)
        and layer.bias is None
        and not layer.input_quant.is_quant_enabled
        and not layer.output_quant.is_quant_enabled
    )


def weight_layers(module: Any) -> list[Any]:
    """Those that are such layers, ``module`` itself included."""
    return [layer for layer in _layers(module) if is_weight_layer(layer)]


def _layers(module: Any) -> Iterator[Any]:
    """Modules, without the many that a quantized layer consists of: this runs for every batch."""
    yield module
    if not isinstance(module, SpikingLayer) and not is_weight_layer(module):
        for part in module.children():
            yield from _layers(part)


def quantized(layer: Any) -> Any:
    """The quantized weights of a weight layer, with derivatives: by its :class:`.Grid` where
    :mod:`.build` gave it one, else by Brevitas."""
    grid = getattr(layer, "grid", None)
    return plain(layer.quant_weight()) if grid is None else grid.nearest(layer.weight)


@contextmanager
def leaves(net: SpikingNet) -> Iterator[dict[int, Any]]:
    """Yields the leaf weights by ``id`` of their layer."""
    pairs: list[tuple[Any, Any]] = []
    held: dict[int, Any] = {}
    parts = list(_layers(net))
    layers = [part for part in parts if is_weight_layer(part)]
    neurons = [part for part in parts if isinstance(part, SpikingLayer)]
    for layer in layers:
        value = quantized(layer)
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
