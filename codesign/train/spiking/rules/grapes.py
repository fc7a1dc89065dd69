"""GRAPES (Dellaferrera et al., Nature Communications 2022): error signals scaled by how important
a neuron's incoming weights are."""

from __future__ import annotations

from typing import Any

from codesign.train.needs import need
from codesign.train.spiking.rules.leaves import weight_layers


def importance(weight: Any) -> Any:
    """``f_i = 2 sum_j |w_ij| / max_k sum_j |w_kj|`` of a weight [out, ...]: [out], in 0..2."""
    total = weight.detach().abs().flatten(1).sum(1)
    return 2 * total / total.max().clamp_min(1e-12)


class Grapes:
    """Wraps any optimizer: before each step the gradient of a neuron's incoming weights, which is
    proportional to its error, is multiplied by its importance. A wrapped Adam divides most of
    it out again; SGD does not."""

    def __init__(self, optimizer: Any, net: Any) -> None:
        self.optimizer = optimizer
        self.layers = weight_layers(net)

    @property
    def param_groups(self) -> Any:
        """Those of the wrapped optimizer."""
        return self.optimizer.param_groups

    def zero_grad(self) -> None:
        """Forget gradients."""
        self.optimizer.zero_grad()

    def step(self) -> None:
        """Scale, then step."""
        with need("torch").no_grad():
            for layer in self.layers:
                weight = layer.weight
                if weight.grad is not None:
                    weight.grad *= importance(weight).reshape(-1, *[1] * (weight.dim() - 1))
        self.optimizer.step()
