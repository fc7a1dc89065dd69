"""What the oracles were asked: neurons with random parameters, random inputs, and digests of all
that came out. Runs under each oracle's own interpreter, so it needs numpy alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

#: Steps whose codes share a digest: a difference is located to this many.
BLOCK = 100


@dataclass(frozen=True)
class Case:
    """``neurons`` neurons of ``preset`` for ``steps`` steps.

    ``ranges``: parameters drawn anew for each neuron, between both ends; ``fixed``: choices that
    are the same for all. Inputs lie in ``lo..hi``; each neuron has a mean of its own, so that some
    stay silent and others reach the ends of their words. Where there is a parameter ``weight``
    (or ``weight2``), inputs are numbers of spikes that arrive through it.
    """

    name: str
    preset: str
    lo: int
    hi: int
    ranges: dict[str, tuple[int, int]]
    fixed: dict[str, object] = field(default_factory=dict)
    steps: int = 1000
    neurons: int = 100

    def parameters(self) -> dict[str, np.ndarray]:
        """int64 [neurons] each."""
        return {
            name: self._raw(name, lo, hi, (self.neurons,)) for name, (lo, hi) in self.ranges.items()
        }

    def inputs(self, which: str = "x") -> np.ndarray:
        """int64 [steps, neurons]."""
        mean = self._raw(which + ".mean", self.lo, self.hi, (self.neurons,))
        half = (self.hi - self.lo + 1) // 2
        noise = self._raw(which, -half, half, (self.steps, self.neurons))
        return np.clip(mean + noise, self.lo, self.hi)

    def _raw(self, what: str, lo: int, hi: int, shape: tuple[int, ...]) -> np.ndarray:
        """From the raw stream of a PCG64, which numpy keeps the same for ever."""
        seed = int.from_bytes(hashlib.sha256(f"{self.name}/{what}".encode()).digest()[:8], "little")
        raw = np.random.PCG64(seed).random_raw(int(np.prod(shape)))
        return lo + (raw >> np.uint64(8)).astype(np.int64).reshape(shape) % (hi - lo + 1)


def digests(codes: np.ndarray) -> list[str]:
    """48 bits of SHA-256 for each :data:`BLOCK` steps of int64 [steps, neurons]."""
    whole = np.ascontiguousarray(codes, dtype="<i8")
    blocks = [whole[t : t + BLOCK].tobytes() for t in range(0, len(whole), BLOCK)]
    return [hashlib.sha256(block).hexdigest()[:12] for block in blocks]


_LOIHI = {"du": (0, 4095), "dv": (0, 4095), "bias": (-4096, 4095), "vth": (10, 6000)}
_WIDE = {"du": (0, 60), "dv": (0, 4095), "bias": (0, 0), "vth": (100, 131071)}
_XYLO = {"dash_mem": (1, 15), "dash_syn": (1, 15), "weight": (-128, 127)}
_XYLO2 = {**_XYLO, "dash_syn2": (1, 15), "weight2": (-128, 127)}
_BIAS = {"bias": (-300, 300)}

#: Name of an oracle -> what it was asked.
CASES: dict[str, list[Case]] = {
    "lava": [
        Case("lava", "loihi", -400, 400, _LOIHI, {"refractory": 0}),
        Case("lava wide", "loihi", -32768, 32767, _WIDE, {"refractory": 0}),
    ],
    "nengo_loihi": [
        Case("nengo", "loihi", -400, 400, _LOIHI, {"refractory": 0}),
        Case("nengo refractory", "loihi", -400, 400, _LOIHI, {"refractory": 3}),
        Case("nengo wide", "loihi", -32768, 32767, _WIDE, {"refractory": 2}),
    ],
    "xylosim": [
        Case("xylo", "xylo", 0, 15, {**_XYLO, **_BIAS, "v_th": (20, 2000)}, {"shift": 0}),
        Case("xylo wide", "xylo", 0, 15, {**_XYLO, **_BIAS, "v_th": (1, 32767)}, {"shift": 5}),
        Case("xylo two", "xylo", 0, 15, {**_XYLO2, **_BIAS, "v_th": (20, 2000)}, {"shift": 0}),
        Case("xylo two wide", "xylo", 0, 15, {**_XYLO2, "bias": (-32768, 32767),
             "v_th": (1, 32767)}, {"shift": 5}),
    ],
    "hls4ml": [
        Case(f"hls4ml {bits} {reset} {kind}", "hls4ml", -6 << (bits - 1), 6 << (bits - 1),
             {"beta": (0, 256), "theta": (1, (1 << (bits - 1)) - 1)},
             {"bits": bits, "frac": 4, "beta_frac": 8, "input_frac": 6, "reset": reset,
              "kind": kind})
        for bits in (10, 16) for reset in ("subtract", "zero") for kind in ("lif", "if")
    ],
    "spikerplus": [
        Case(f"spiker {bits} {reset}", "spiker", -(1 << (bits - 1)) // 2, (1 << (bits - 1)) // 2,
             {"theta": (0, (1 << (bits - 1)) - 1),
              "reset_value": (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)},
             {"bits": bits, "shift": shift, "reset": reset, "weights": 1}, neurons=40)
        for bits, shift in ((8, 3), (16, 10)) for reset in ("subtract", "value")
    ] + [
        Case("spiker weights", "spiker", -500, 500,
             {"theta": (0, 20000), "reset_value": (-20000, 20000)},
             {"bits": 16, "shift": 4, "reset": "subtract", "weights": 3}, neurons=40),
    ],
    "tinyodin": [
        Case("tinyodin", "tinyodin", -8, 7, {"leak": (0, 9), "theta": (1, 300)}),
        Case("tinyodin wide", "tinyodin", -8, 7, {"leak": (0, 3), "theta": (1, 4095)}, steps=3000),
        Case("tinyodin leaky", "tinyodin", -8, 7, {"leak": (0, 127), "theta": (1, 20)}),
    ],
}  # fmt: skip
