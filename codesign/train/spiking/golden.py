"""PyTorch's own spikes and states at every step, recorded beside the model.

The file is that of ``codesign.train.golden``; its tensors are those of the Scan form, and its
arrays have the axes batch and steps in front: the quantized input, each layer's output and states
after each step, float32 as on the wires of the file (a code times its power of two); and what the
readout makes of the last layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign.exchange import is_encoder
from codesign.exchange.metadata import BESSEL
from codesign.exchange.step import NEXT
from codesign.train.golden import Golden
from codesign.train.modes import evaluating
from codesign.train.needs import need
from codesign.train.spiking.encode import Encoding
from codesign.train.spiking.export import QUANTIZED_INPUT, Exported
from codesign.train.spiking.network import SpikingNet

BATCH = 256


def trace(net: SpikingNet, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every layer's outputs and states on ``x`` (float32 [n, steps, ...]), by name."""
    parts = [_trace(net, x[i : i + BATCH]) for i in range(0, len(x), BATCH)]
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _trace(net: SpikingNet, x: np.ndarray) -> dict[str, np.ndarray]:
    torch = need("torch")
    found: dict[str, list[Any]] = {}
    whole = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
    with torch.no_grad(), evaluating(net):
        for index, block in enumerate(net.blocks):
            currents = block.current(whole.flatten(0, 1)).unflatten(0, whole.shape[:2])
            states, outs = None, []
            worth = _worth(block)
            for t in range(whole.shape[1]):
                out, states = block.charge(currents[:, t], states)
                outs.append(out)
                for name, value in states.items():
                    key = f"layer{index}.{name}{NEXT}"
                    found.setdefault(key, []).append(value * worth.get(name, 1.0))
            whole = torch.stack(outs, 1)
            found[f"layer{index}"] = list(whole.unbind(1))
    return {n: torch.stack(s, 1).numpy().astype(np.float32) for n, s in found.items()}


def _worth(block: Any) -> dict[str, float]:
    """What a code of each state is worth."""
    if block.neuron is None:
        return {}
    return {s.name: 2.0**-s.word.frac for s in block.neuron.model.states}


def named(
    found: dict[str, np.ndarray], exported: Exported, readout: str, x: np.ndarray
) -> dict[str, np.ndarray]:
    """What :func:`trace` found, the input and the readout, by the names in the Scan form."""
    scan = next(n for n in exported.scan.graph.node if n.op_type == "Scan")
    body = next(a.g for a in scan.attribute if a.name == "body")
    inside = {outer: inner.name for outer, inner in zip(scan.output, body.output, strict=True)}
    last = exported.layers[-1]
    tensors = {QUANTIZED_INPUT: np.ascontiguousarray(x, dtype=np.float32)}
    encoders = [n.output[0] for n in exported.scan.graph.node if is_encoder(n)]
    tensors |= dict.fromkeys(encoders, tensors[QUANTIZED_INPUT])
    tensors |= {inside.get(name, name): array for name, array in found.items()}
    if exported.decoder is None:
        return tensors | {f"{last}_{readout}": read_out(found[last], readout)}
    decoder = exported.decoder
    codes = np.ldexp(found[last].astype(np.float64), decoder.frac).astype(np.int64)
    smoothed = np.ldexp(decoder.decode(codes).astype(np.float32), -decoder.out_frac)
    tensors[f"{last}_bessel"] = smoothed
    return tensors | {f"{last}_{readout}": smoothed[:, -1] if readout == BESSEL[1] else smoothed}


def read_out(outs: np.ndarray, readout: str) -> np.ndarray:
    """The readout of outputs [n, steps, ...] as the exchange format computes it: [n, ...]."""
    if readout in ("count", "membrane_sum"):
        return outs.sum(1, dtype=np.float32)
    if readout == "membrane":
        return outs[:, -1]
    left = np.arange(outs.shape[1], 0, -1, dtype=np.float32)
    return np.asarray((outs * left.reshape(-1, *[1] * (outs.ndim - 2))).max(1))


def record_spiking(
    net: SpikingNet,
    exported: Exported,
    encoding: Encoding,
    readout: str,
    x: np.ndarray,
    labels: np.ndarray,
    *,
    random_frames: int = 100,
    seed: int = 1,
) -> Golden:
    """Run ``net`` on ``x`` and on random inputs, among them all, none and alternating ones.

    ``x``: float32 [n, steps, ...], encoded; numbers [n, features] for a file that encodes them.
    """
    numbers = exported.encodes
    random_x = random_inputs(encoding, x.shape[1:], random_frames, seed, numbers=numbers)
    steps, random_steps = (encoding(a) if numbers else a for a in (x, random_x))
    test, random = trace(net, steps), trace(net, random_steps)
    tensors = named(test, exported, readout, steps)
    guess = tensors[f"{exported.layers[-1]}_{readout}"].argmax(1)
    return Golden(
        np.ascontiguousarray(x, dtype=np.float32),
        np.asarray(labels, dtype=np.int64),
        random_x,
        seed,
        tensors,
        named(random, exported, readout, random_steps),
        float("nan"),
        float((guess == labels).mean()) if len(labels) and guess.ndim == 1 else float("nan"),
    )


def random_inputs(
    encoding: Encoding, shape: tuple[int, ...], frames: int, seed: int, *, numbers: bool = False
) -> np.ndarray:
    """float32 [frames, *shape]: spikes, codes, or the ``numbers`` to encode, of every density."""
    rng = np.random.default_rng(seed)
    whole = numbers or encoding.kind == "direct"
    bits, signed = (encoding.bits, encoding.signed) if whole else encoding.word_given
    top, frac = (1 << (bits - signed)) - 1, (encoding.code_frac if whole else 0)
    least = -top - whole if signed else 0  # spikes with a sign are -1, 0 and 1
    density = rng.random((frames, *[1] * len(shape)))
    size = (frames, *shape)
    drawn = rng.integers(least, top, size=size, endpoint=True) if signed else rng.integers(
        1, top, size=size, endpoint=True
    )  # fmt: skip
    found = (rng.random(size) < density) * drawn
    if frames > 3:
        found[0], found[1], found[2, ::2], found[2, 1::2] = 0, top, least, top
    return (found * 2.0**-frac).astype(np.float32)
