"""Run a user's module in evaluation mode and give it back as it was."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from codesign.train.needs import need


@contextmanager
def evaluating(module: Any) -> Iterator[Any]:
    """``module`` in evaluation mode for the block; every submodule has its own mode back after it.

    A circuit computes what evaluation mode computes. A module that was given in training mode is
    taken so too, with a ``UserWarning``: batch norm, dropout and quantizers act otherwise in it.
    """
    modes = [(part, part.training) for part in module.modules()]
    if in_training(module):
        warnings.warn(
            "the module is in training mode: what is exported and recorded is its evaluation mode "
            "(module.eval()); its own mode is restored afterwards",
            UserWarning,
            stacklevel=4,
        )
    try:
        yield module.eval()
    finally:
        for part, training in modes:
            part.training = training


def in_training(module: Any) -> bool:
    """Whether it, or a part of it that acts otherwise while training, is in training mode."""
    nn = need("torch.nn")
    acts = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    return module.training or any(p.training for p in module.modules() if isinstance(p, acts))
