"""Which outputs an input pixel reaches, axis by axis."""

from dataclasses import dataclass
from math import gcd

from amaranth.hdl import Module, Signal, Value


@dataclass(frozen=True)
class Reach:
    """The taps that see one input position: ``count`` of them, from tap ``tap`` and output
    ``out`` on; each next is ``Axis.tap_step`` taps further and ``Axis.out_step`` outputs less."""

    count: int
    tap: int
    out: int


@dataclass(frozen=True)
class Axis:
    """One axis of a convolution: ``size`` inputs, ``before`` and ``after`` zeros around them."""

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int

    def __post_init__(self) -> None:
        if min(self.size, self.kernel, self.stride, self.dilation) < 1:
            raise ValueError(f"sizes, strides and dilations start at 1, got {self}")
        if min(self.before, self.after) < 0 or self.outputs < 1:
            raise ValueError(f"the kernel does not fit: {self}")

    @property
    def outputs(self) -> int:
        """Output positions."""
        padded = self.size + self.before + self.after
        return (padded - (self.kernel - 1) * self.dilation - 1) // self.stride + 1

    @property
    def tap_step(self) -> int:
        """Distance of taps that see the same input."""
        return self.stride // gcd(self.stride, self.dilation)

    @property
    def out_step(self) -> int:
        """Distance of the outputs they belong to."""
        return self.dilation // gcd(self.stride, self.dilation)

    def reach(self, position: int) -> Reach:
        """The taps of input ``position``."""
        found = []
        for tap in range(self.kernel):
            at = position + self.before - tap * self.dilation
            if at % self.stride == 0 and 0 <= at // self.stride < self.outputs:
                found.append((tap, at // self.stride))
        if not found:
            return Reach(0, 0, 0)
        return Reach(len(found), *found[0])


def divided(m: Module, value: Value, limit: int, divisor: int, name: str) -> tuple[Value, Value]:
    """(quotient, remainder) of ``value`` in ``0..limit-1`` by a constant: a slice for a power of
    two, else a product with its reciprocal, whose width is chosen so that it is exact."""
    quotient = Signal(range(max(2, (limit - 1) // divisor + 1)), name=f"{name}_quotient")
    remainder = Signal(range(max(2, divisor)), name=f"{name}_remainder")
    if divisor & (divisor - 1) == 0:
        shift = divisor.bit_length() - 1
        m.d.comb += [quotient.eq(value >> shift), remainder.eq(value & (divisor - 1))]
        return quotient, remainder
    factor, shift = reciprocal(limit, divisor)
    m.d.comb += [
        quotient.eq((value * factor) >> shift),
        remainder.eq(value - quotient * divisor),
    ]
    return quotient, remainder


def reciprocal(limit: int, divisor: int) -> tuple[int, int]:
    """The smallest (factor, shift) with ``v * factor >> shift == v // divisor`` for all v in
    ``0..limit-1`` (Granlund and Montgomery 1994: exact where the error stays below 1/divisor)."""
    shift = 0
    while True:
        factor = (1 << shift) // divisor + 1
        # factor / 2**shift = 1/divisor + e, and v * e must stay below 1/divisor.
        if (limit - 1) * (factor * divisor - (1 << shift)) < (1 << shift):
            return factor, shift
        shift += 1
