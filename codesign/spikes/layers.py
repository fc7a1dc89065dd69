"""What layers of synapses make of spikes: exact sums in integers."""

from __future__ import annotations

import numpy as np


def dense(spikes: np.ndarray, weights: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """Currents int64 [..., outputs] of spikes int [..., inputs]; weights int [inputs, outputs]."""
    currents = spikes.astype(np.int64) @ weights.astype(np.int64)
    return currents if bias is None else currents + bias


def conv(
    spikes: np.ndarray,
    weights: np.ndarray,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilation: tuple[int, int] = (1, 1),
    depthwise: bool = False,
    bias: np.ndarray | None = None,
) -> np.ndarray:
    """Currents int64 [..., H', W', M] of spikes int [..., H, W, C].

    weights: int [KH, KW, C, M]; with ``depthwise`` [KH, KW, C, m], and output channel ``c * m + j``
    sees channel ``c`` alone (M = C * m). ``padding``: top, bottom, left, right.
    """
    kh, kw = weights.shape[:2]
    rows, columns = output_size(spikes.shape[-3:-1], (kh, kw), stride, padding, dilation)
    edges = [(0, 0)] * (spikes.ndim - 3) + [padding[:2], padding[2:], (0, 0)]
    x = np.pad(spikes.astype(np.int64), edges)
    outputs = weights.shape[2] * weights.shape[3] if depthwise else weights.shape[3]
    total = np.zeros((*spikes.shape[:-3], rows, columns, outputs), np.int64)
    for ky in range(kh):
        for kx in range(kw):
            top, left = ky * dilation[0], kx * dilation[1]
            seen = x[..., top : top + (rows - 1) * stride[0] + 1 : stride[0], :, :]
            seen = seen[..., left : left + (columns - 1) * stride[1] + 1 : stride[1], :]
            tap = weights[ky, kx].astype(np.int64)
            if depthwise:
                total += (seen[..., None] * tap).reshape(*seen.shape[:-1], outputs)
            else:
                total += seen @ tap
    return total if bias is None else total + bias


def pool(
    spikes: np.ndarray, size: tuple[int, int], stride: tuple[int, int], function: str
) -> np.ndarray:
    """Windows of spikes int [..., H, W, C]: how many there are (``sum``), or whether any (``or``).

    int64 [..., H', W', C].
    """
    if function not in ("sum", "or"):
        raise ValueError(f"events are pooled by 'sum' or by 'or', got '{function}'")
    ones = np.ones((*size, spikes.shape[-1], 1), np.int64)
    total = conv(spikes, ones, stride=stride, depthwise=True)
    return total if function == "sum" else (total > 0).astype(np.int64)


def output_size(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
    dilation: tuple[int, int],
) -> tuple[int, int]:
    """(H', W') of a convolution; ``ValueError`` where the kernel does not fit."""
    found = []
    for axis in range(2):
        padded = size[axis] + padding[2 * axis] + padding[2 * axis + 1]
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        if padded < reach:
            raise ValueError(f"a kernel that reaches over {reach} pixels does not fit {padded}")
        found.append((padded - reach) // stride[axis] + 1)
    return found[0], found[1]
