"""Equal functions of one value are one: PyTorch writes a quantizer that is called twice on a
tensor (by a residual, in each time step) as two nodes."""

from __future__ import annotations

from codesign.ir import Elementwise, Op, Value
from codesign.ir.serialize import Content, content
from codesign.ops.combine import Combine
from codesign.ops.quantizer import Quantizer

#: What has neither weights, which a design may load for each layer, nor states. Moves are made
#: once by :func:`codesign.frontend.layout.move`.
KINDS = Quantizer | Elementwise | Combine


class Once:
    """The values that functions have made so far."""

    def __init__(self) -> None:
        self._made: dict[tuple[Content, tuple[str, ...]], Value] = {}

    def find(self, op: Op, ins: list[Value]) -> Value | None:
        """The value that an equal ``op`` made of ``ins``."""
        return self._made.get(_key(op, ins)) if isinstance(op, KINDS) else None

    def note(self, op: Op, ins: list[Value], made: Value) -> None:
        """Remember that ``op`` makes ``made`` of ``ins``."""
        if isinstance(op, KINDS):
            self._made[_key(op, ins)] = made

    def forget(self, value: str) -> None:
        """``value`` is taken back."""
        self._made = {key: made for key, made in self._made.items() if made.name != value}


def _key(op: Op, ins: list[Value]) -> tuple[Content, tuple[str, ...]]:
    return content(op), tuple(value.name for value in ins)
