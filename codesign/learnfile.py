"""learning.toml (or .json): how the layers of a network learn on the chip. Untrusted, so checked.

Neurons, thresholds and first weights come from the model; every other choice stands in the file,
none has a default.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, ValidationError

from codesign.errors import UsageError
from codesign.learning import Psi, Rival, Tess
from codesign.learning.rival import random_signs
from codesign.neurons import Leak, Word
from codesign.schema import Strict

Bits = Annotated[int, Field(ge=1, le=48)]
Frac = Annotated[int, Field(ge=-64, le=64)]
Shift = Annotated[int, Field(ge=-40, le=40)]


class WordChoice(Strict):
    """A word that clamps; codes are worth ``2**-frac``."""

    bits: Bits
    frac: Frac
    overflow: Literal["sat_step", "sat_narrow"]

    def word(self, signed: bool) -> Word:
        """As the rule has it."""
        return Word(self.bits, self.frac, signed, self.overflow)


class LeakChoice(Strict):
    """One leak for all traces (:class:`codesign.neurons.Leak`)."""

    kind: Literal[
        "none", "shift_floor", "shift_min1", "mul_floor", "mul_trunc0", "mul_round", "linear"
    ]
    amount: Annotated[int, Field(ge=0, le=1 << 30)]
    frac: Annotated[int, Field(ge=0, le=30)]

    def leak(self) -> Leak:
        """As the rule has it."""
        return Leak(self.kind, np.array([self.amount]), self.frac)


class PsiChoice(Strict):
    """``Psi = table[min(|v - theta| >> shift, last)]``, unsigned codes worth ``2**-frac``."""

    bits: Bits
    frac: Frac
    shift: Annotated[int, Field(ge=0, le=40)]
    table: Annotated[list[int], Field(min_length=1, max_length=256)]

    def psi(self) -> Psi:
        """As the rule has it."""
        return Psi(np.array(self.table), self.shift, Word(self.bits, self.frac, False, "sat_step"))


class Signs(Strict):
    """The fixed classifier of a layer's spikes: ``identity`` (its outputs are the classes),
    ``random`` of ``seed``, or ``given`` as ``rows`` [outputs][classes]."""

    kind: Literal["identity", "random", "given"]
    seed: int | None = None
    rows: list[list[Annotated[int, Field(ge=-127, le=127)]]] | None = None

    def of(self, outputs: int, classes: int) -> np.ndarray:
        """int64 [outputs, classes]; ``ValueError`` where they do not fit."""
        if (self.kind == "random") != (self.seed is not None):
            raise ValueError("signs: 'seed' stands with kind 'random', and only there")
        if (self.kind == "given") != (self.rows is not None):
            raise ValueError("signs: 'rows' stands with kind 'given', and only there")
        if self.rows is not None:
            if len(self.rows) != outputs or any(len(row) != classes for row in self.rows):
                raise ValueError(f"signs: rows are {outputs} lists of {classes} integers")
            return np.array(self.rows, np.int64)
        if self.seed is not None:
            return random_signs(outputs, classes, self.seed)
        if outputs != classes:
            raise ValueError(
                f"signs: identity needs an output a class; there are {outputs} and {classes}"
            )
        return np.eye(outputs, dtype=np.int64)


class LayerRule(Strict):
    """A layer: :class:`codesign.learning.Tess` field by field, and its signal's signs and margin.
    ``post_shift`` is ``"none"`` where only the input's trace counts (e-prop). Where learned
    weights are finer than the membrane and the model's neurons say ``exact``,
    ``current_rounding`` says how a sum is rounded; else it is ``model``."""

    pre: WordChoice
    pre_leak: LeakChoice
    psi: PsiChoice
    post: WordChoice
    post_leak: LeakChoice
    signal_bits: Annotated[int, Field(ge=2, le=16)]
    factor: WordChoice
    weight: WordChoice
    current_rounding: Literal["model", "floor", "trunc0", "half_even"]
    pre_shift: Shift
    post_shift: Shift | Literal["none"]
    rate_shift: Shift
    rounding: Literal["floor", "trunc0", "half_even"]
    signs: Signs
    margin: Annotated[int, Field(ge=0, le=1 << 20)]

    def rule(self) -> Tess:
        """The rule; ``ValueError`` where words do not fit each other."""
        return Tess(
            pre=self.pre.word(False),
            pre_leak=self.pre_leak.leak(),
            psi=self.psi.psi(),
            post=self.post.word(False),
            post_leak=self.post_leak.leak(),
            signal=Word(self.signal_bits, 0, True, "sat_step"),
            factor=self.factor.word(True),
            weight=self.weight.word(True),
            pre_shift=self.pre_shift,
            post_shift=None if self.post_shift == "none" else self.post_shift,
            rate_shift=self.rate_shift,
            rounding=self.rounding,
        )

    def signal(self, outputs: int, classes: int) -> Rival:
        """The learning signal of a layer of ``outputs``."""
        return Rival(self.signs.of(outputs, classes), self.margin)


class LearnFile(Strict):
    """A whole file. ``layers``: by name of the layer of neurons, as ``codesign generate`` reports
    it (and the manifest lists)."""

    version: Literal[1]
    classes: Annotated[int, Field(ge=2, le=4096)]
    layers: Annotated[dict[str, LayerRule], Field(min_length=1)]


def read_learning(path: Path) -> LearnFile:
    """Parse ``path``, TOML or (``.json``) JSON; ``UsageError`` naming the field or the line."""
    try:
        text = path.read_text()
        data = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        return LearnFile.model_validate(data)
    except OSError as error:
        raise UsageError(f"cannot read: {error.strerror}", where=str(path)) from error
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise UsageError(f"not {kind}: {error}", where=str(path)) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"field '{field}': {first['msg']}",
            where=str(path),
            hint="every field of docs/LEARNING.md must stand there, none has a default; "
            "'codesign learning-rule' writes a file to begin with",
        ) from error
