"""What an operation is. Each lives in one file of ``codesign.ops``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from codesign.formats import Format

if TYPE_CHECKING:
    from codesign.ir.graph import Value


class Op(ABC):
    """One operation: a frozen dataclass whose fields are its constants.

    Arrays carry a leading batch axis: codes as int64 where the value's format is an integer
    one, float32 where it is ``Real``.
    """

    kind: ClassVar[str]
    #: Whether the output is the input of a step before, so that the node may stand in a loop.
    delays: ClassVar[bool] = False

    @property
    def words(self) -> str:
        """What it does, as people call it; for operations that the host may be left with."""
        return self.kind.replace("_", " ")

    @property
    def carries(self) -> bool:
        """Whether a frame's result depends on the frames before it."""
        return False

    def one_step(self, steps: int) -> Op:
        """The operation on one step of a value of ``steps`` steps (first axis): itself, unless
        it holds something for each step."""
        return self

    def runner(self, steps: int) -> Callable[..., np.ndarray]:
        """:meth:`execute` for one step after the other of a loop of ``steps`` steps; what has a
        state of its own starts it here."""
        return self.one_step(steps).execute

    @abstractmethod
    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        """Shape (without batch) and format of the output; ``UnsupportedModel`` when the inputs
        do not suit."""

    @abstractmethod
    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        """The output for a batch; exact."""


class Elementwise(Op):
    """A float32 operation applied to each element; constants broadcast over the last axis.

    A chain of these between an accumulator and a quantizer is tabulated by evaluation
    (contract 3), so ``evaluate`` must do what PyTorch and qonnx do, rounding for rounding.
    """

    @abstractmethod
    def evaluate(self, x: np.ndarray) -> np.ndarray:
        """float32 in, float32 out, same shape (or broadcast over the last axis)."""

    @abstractmethod
    def direction(self) -> np.ndarray:
        """Per channel (or one element): +1 never decreasing, -1 never increasing, 0 neither."""

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        from codesign.formats import Real

        return ins[0].shape, Real()

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        return self.evaluate(ins[0].format.decode(arrays[0]))


REGISTRY: dict[str, type[Op]] = {}
#: Plain dataclasses that operations may hold as fields, by the name they are stored under.
RECORDS: dict[str, type] = {}
T = TypeVar("T", bound=type[Op])
R = TypeVar("R", bound=type)


def record(name: str) -> Callable[[R], R]:
    """Class decorator: instances of the dataclass may be fields of operations."""

    def enter(cls: R) -> R:
        cls.record_name = name  # type: ignore[attr-defined]
        RECORDS[name] = cls
        return cls

    return enter


def register(kind: str) -> Callable[[T], T]:
    """Class decorator: make an operation known under ``kind``."""

    def enter(cls: T) -> T:
        if kind in REGISTRY:
            raise ValueError(f"operation '{kind}' is registered twice")
        cls.kind = kind
        REGISTRY[kind] = cls
        return cls

    return enter


def constant(array: Any, dtype: type) -> np.ndarray:
    """A read-only copy: operations are immutable, numpy arrays must be too."""
    out: np.ndarray = np.array(array, dtype=dtype)
    out.setflags(write=False)
    return out
