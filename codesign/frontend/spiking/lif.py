"""Neurons with real parameters in the formats of a policy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.frontend.spiking.hold import Holder
from codesign.frontend.spiking.policy import Formats, LeakFormat, StateFormat
from codesign.neurons import Leak, Word


@dataclass(frozen=True, eq=False)
class Parts:
    """What real parameters become: float64 [1] or [channels] in, codes out."""

    formats: Formats
    holder: Holder
    where: str

    def word(self) -> Word:
        """Of the membrane."""
        return _word(self.formats.state)

    def leak(self, decay: np.ndarray) -> Leak:
        """Of the membrane."""
        return self._leak(decay, self.formats.leak)

    def synapse(self, decay: np.ndarray) -> tuple[Word, Leak]:
        """Word and leak of a synaptic current."""
        word, leak = self.formats.synapse, self.formats.synapse_leak
        if word is None or leak is None:
            raise UnsupportedModel(
                "it has a synaptic current, whose formats are missing",
                where=self.where,
                hint="give formats.synapse and formats.synapse_leak",
            )
        return _word(word), self._leak(decay, leak)

    def codes(self, values: np.ndarray, what: str, *, wide: bool = False) -> np.ndarray:
        """Codes of the membrane; ``wide``: also outside what its word can hold."""
        word = self.word()
        lo, hi = (-(1 << 24), 1 << 24) if wide else (word.lo, word.hi)
        return self.holder.codes(np.atleast_1d(values), word.frac, lo, hi, what, self.where)

    def _leak(self, decay: np.ndarray, form: LeakFormat) -> Leak:
        decay = np.atleast_1d(np.asarray(decay, np.float64))
        if not ((decay >= 0) & (decay <= 1)).all():
            wrong = decay[~((decay >= 0) & (decay <= 1))][0]
            what = f"a decay of {wrong:.9g} a step is no leak"
            raise UnsupportedModel(what, where=self.where, hint="use one between 0 and 1")
        if (decay == 1).all():
            return Leak("none", np.zeros(1, np.int64))
        if form.kind.startswith("shift"):
            return Leak(form.kind, self.holder.shifts(decay, self.where))
        amount = self.holder.codes(decay, form.frac, 0, 1 << form.frac, "decay", self.where)
        return Leak(form.kind, amount, form.frac)


def _word(form: StateFormat) -> Word:
    return Word(form.bits, form.frac, form.signed, form.overflow)


def spikes_word(levels: int) -> Word:
    """What spikes of up to ``levels`` are codes of."""
    return Word(levels.bit_length(), 0, False, "wrap")
