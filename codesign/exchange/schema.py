"""What an operator of the domain consists of: one schema for each neuron model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from codesign.exchange.attributes import Rule, Value
from codesign.neurons import Neuron

T = TypeVar("T")


@dataclass(frozen=True)
class Parameter:
    """An input that is constant; one step of it is ``2**-frac``. ``sample``: a code that is always
    allowed. ``entries``: how many numbers a table has; 0 for what channels may differ in."""

    name: str
    frac: int
    sample: int = 1
    entries: int = 0

    def codes(self) -> np.ndarray:
        """Codes that are always allowed."""
        return np.full(max(1, self.entries), self.sample, dtype=np.int64)


class Schema(ABC):
    """One operator. Its inputs are those of the model, its states, then its parameters; its
    outputs what the model puts out, then its states."""

    op_type: str
    model: type[Neuron]

    @abstractmethod
    def rules(self, found: Mapping[str, Value]) -> dict[str, Rule]:
        """Which attributes there must be, seeing what is there; ``version`` left out."""

    @abstractmethod
    def attributes(self, model: Neuron) -> dict[str, Value]:
        """``model`` as attributes. Raises ``ValueError`` where they cannot say it."""

    @abstractmethod
    def check(self, attributes: Mapping[str, Value]) -> None:
        """``ValueError`` where attributes that are right alone are wrong together."""

    @abstractmethod
    def parameters(self, attributes: Mapping[str, Value]) -> list[Parameter]:
        """The constant inputs, in order."""

    @abstractmethod
    def codes(self, model: Neuron) -> dict[str, np.ndarray]:
        """Codes of each parameter by name, int64 [1], [channels] or [entries]; others are
        ignored."""

    @abstractmethod
    def build(self, attributes: Mapping[str, Value], codes: Mapping[str, np.ndarray]) -> Neuron:
        """The model. Raises ``ValueError`` where its own checks fail."""

    @abstractmethod
    def substitute(self, model: Neuron, parameters: Mapping[str, Any]) -> Neuron:
        """``model`` with other ``parameters``, which may be traces and are not checked."""


def unchecked(frozen: T, **fields: Any) -> T:
    """A copy of a frozen dataclass with other fields, its own checks left out."""
    made = copy(frozen)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


SCHEMAS: dict[str, Schema] = {}


def register(schema: type[Schema]) -> type[Schema]:
    """Decorator: enter the operator."""
    SCHEMAS[schema.op_type] = schema()
    return schema


def schema_of(model: Neuron) -> Schema:
    """The operator that stands for ``model``."""
    for schema in SCHEMAS.values():
        if type(model) is schema.model:
            return schema
    raise ValueError(f"no exchange operator stands for {type(model).__name__}")
