"""A live module and its example input, looked at before anything is exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from codesign.errors import UsageError
from codesign.train.modes import evaluating
from codesign.train.needs import need


def check_module(module: Any) -> None:
    """Raise ``UsageError`` for what is no ``torch.nn.Module``: a ``state_dict``, a class, ..."""
    if isinstance(module, Mapping):
        raise UsageError(
            "a state_dict is given: it holds weights, not what is computed with them",
            hint="module.load_state_dict(...), then generate(module, example_input=x)",
        )
    if not isinstance(module, need("torch").nn.Module):
        kind = module.__name__ if isinstance(module, type) else type(module).__name__
        raise UsageError(
            f"cannot generate from {'the class' if isinstance(module, type) else 'a'} {kind}",
            hint="give a QONNX file, an onnx.ModelProto or a torch.nn.Module with example_input=x",
        )


def checked_example(module: Any, example: Any) -> np.ndarray:
    """Return ``example`` as float32 [frames, ...], seen to run through ``module``.

    Raises
    ------
    UsageError
        For what are no finite numbers, has no frame or no batch axis, or does not run.
    """
    if hasattr(example, "detach"):
        example = example.detach().cpu()
    try:
        given = np.asarray(example)
        array = given.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"example_input is a {type(example).__name__}, not an array of numbers",
            hint="give a tensor or array of shape (frames, ...)",
        ) from error
    if given.dtype.kind not in "fiub" or array.ndim < 2 or not array.size:
        raise UsageError(
            f"example_input is {given.dtype} of shape {given.shape}",
            hint="give numbers of shape (frames, ...), the batch first, at least one frame",
        )
    if not np.isfinite(array).all():
        raise UsageError(
            "example_input holds NaN or infinity", hint="a circuit's input has neither: clip it"
        )
    torch = need("torch")
    try:
        with evaluating(module) as net, torch.no_grad():
            net(torch.from_numpy(array[:1].copy()))
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise UsageError(
            f"the module does not run on one frame of example_input, {array[:1].shape}: {reason}",
            hint="give its input with the batch first: (frames, ...)",
        ) from error
    return array
