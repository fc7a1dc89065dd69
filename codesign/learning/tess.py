"""TESS in integers (Apolinario and Roy 2025): local in space and time, a trace for each neuron."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.learning.psi import Psi
from codesign.neurons import ROUNDINGS, Leak, Word, shift_right


@dataclass(frozen=True, eq=False)
class Tess:
    """``dw_ij = -eta m_i (a_pre Psi_i tr_j + a_post trPsi_i x_j)``, every step, in this order::

        tr_j    = pre.fit(pre_leak(tr_j) + x_j * 2**pre.frac)
        Psi_i   = table[...]                            of the membrane this step compared
        trPsi_i = post.fit(post_leak(trPsi_i) + Psi_i)
        G_i     = factor.fit(round(a_pre * m_i * Psi_i))
        H_i     = factor.fit(round(a_post * m_i * trPsi_i))
        w_ij    = weight.fit(w_ij - round(eta * (G_i * tr_j + H_i * x_j * 2**pre.frac)))

    where ``round`` is ``rounding`` and brings the exact product to the fraction bits of the word
    on the left, all shifts: ``a_pre = 2**-pre_shift``, ``a_post = 2**-post_shift`` (None: 0),
    ``eta = 2**-rate_shift``. ``pre``, ``post`` are unsigned, the other words signed; every word
    clamps. Leaks are the same for all neurons.
    """

    pre: Word
    pre_leak: Leak
    psi: Psi
    post: Word
    post_leak: Leak
    signal: Word
    factor: Word
    weight: Word
    pre_shift: int
    post_shift: int | None
    rate_shift: int
    rounding: str

    def __post_init__(self) -> None:
        for name in ("pre", "post", "signal", "factor", "weight"):
            word: Word = getattr(self, name)
            if word.overflow not in ("sat_step", "sat_narrow"):
                raise ValueError(
                    f"{name}: a word of learning clamps (sat_step or sat_narrow), "
                    f"got '{word.overflow}'"
                )
            if word.signed == (name in ("pre", "post")):
                raise ValueError(f"{name}: traces are unsigned, the other words signed")
        if self.rounding not in ROUNDINGS or self.rounding == "exact":
            raise ValueError(
                f"rounding must be one of {', '.join(ROUNDINGS[1:])}, got '{self.rounding}'"
            )
        for name in ("pre_leak", "post_leak"):
            if len(getattr(self, name).amount) != 1:
                raise ValueError(f"{name}: one leak for all traces, not one for each")
        if self.pre.frac < 0 or 1 << self.pre.frac > self.pre.hi:
            raise ValueError(
                f"a spike adds 2**{self.pre.frac} to the trace of its input, which does not fit "
                f"0..{self.pre.hi}"
            )
        if self.post.frac != self.psi.word.frac:
            raise ValueError(
                f"Psi has {self.psi.word.frac} fraction bits, its trace {self.post.frac}; "
                "they must be the same"
            )
        largest = max(self.pre_factor_shift, self.post_factor_shift, self.weight_shift)
        if largest > 40 or self.signal.bits + self.post.bits + self.pre.bits > 48:
            raise ValueError("the products of these words do not fit 62 bits; use shorter words")

    @property
    def pre_factor_shift(self) -> int:
        """Bits that ``m_i * Psi_i`` loses (gains, where negative) on the way to ``G_i``."""
        return self.signal.frac + self.psi.word.frac + self.pre_shift - self.factor.frac

    @property
    def post_factor_shift(self) -> int:
        """Bits that ``m_i * trPsi_i`` loses on the way to ``H_i``."""
        return self.signal.frac + self.post.frac + (self.post_shift or 0) - self.factor.frac

    @property
    def weight_shift(self) -> int:
        """Bits that the sum of products loses on the way to the weight."""
        return self.factor.frac + self.pre.frac + self.rate_shift - self.weight.frac

    def decay(self, pre: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The traces of the inputs after spikes ``x``; int64 [inputs] each."""
        return self.pre.fit(self.pre_leak.apply(pre) + (x << self.pre.frac))

    def gather(self, post: np.ndarray, psi: np.ndarray) -> np.ndarray:
        """The traces of the outputs after ``psi``; int64 [outputs] each."""
        return self.post.fit(self.post_leak.apply(post) + psi)

    def factors(
        self, m: np.ndarray, psi: np.ndarray, post: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """``G`` and ``H``, int64 [outputs]."""
        g = self.factor.fit(shift_right(m * psi, self.pre_factor_shift, self.rounding))
        if self.post_shift is None:
            return g, np.zeros_like(g)
        h = shift_right(m * post, self.post_factor_shift, self.rounding)
        return g, self.factor.fit(h)

    def update(
        self, weights: np.ndarray, g: np.ndarray, h: np.ndarray, pre: np.ndarray, x: np.ndarray
    ) -> np.ndarray:
        """The weights of the next step, int64 [inputs, outputs]."""
        change = pre[:, None] * g + (x << self.pre.frac)[:, None] * h
        return self.weight.fit(weights - shift_right(change, self.weight_shift, self.rounding))


def eprop(
    *,
    pre: Word,
    pre_leak: Leak,
    psi: Psi,
    signal: Word,
    factor: Word,
    weight: Word,
    pre_shift: int,
    rate_shift: int,
    rounding: str,
) -> Tess:
    """e-prop (Bellec et al. 2020) for LIF neurons, on the same data path: with ``pre_leak`` the
    leak of the membrane, ``Psi_i tr_j`` is its eligibility trace; ``m`` its learning signal. The
    low-pass of the eligibility, a word a synapse, is left out."""
    post = Word(psi.word.bits, psi.word.frac, False, "sat_step")
    whole = Leak("mul_floor", np.zeros(1, np.int64), 1)
    return Tess(
        pre, pre_leak, psi, post, whole, signal, factor, weight,
        pre_shift, None, rate_shift, rounding,
    )  # fmt: skip
