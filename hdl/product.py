"""Products of wide unsigned numbers, pipelined: limb by limb, then a tree of sums."""

import math

from amaranth.hdl import Module, Signal, Value, unsigned

#: Bits of a limb: what the multipliers of most devices take at once, unsigned.
LIMB = 17


class Product:
    """``(a * b) >> shift`` of unsigned ``a`` and ``b``, which have as many bits as they say.

    A register behind the products of the limbs and one behind each level of sums of two.
    """

    def __init__(self, a: int, b: int, shift: int) -> None:
        self._widths, self._shift = (a, b), shift

    @property
    def limbs(self) -> int:
        """Products of two limbs."""
        return math.prod(-(-bits // LIMB) for bits in self._widths)

    @property
    def latency(self) -> int:
        """Registers from input to output."""
        return 1 + (self.limbs - 1).bit_length()

    def build(self, m: Module, ce: Value, name: str, a: Value, b: Value) -> Value:
        """The result, :attr:`latency` cycles of ``ce`` later."""
        rows: list[tuple[Value, int]] = []  # each with the largest number it can be
        for i in range(0, self._widths[0], LIMB):
            for j in range(0, self._widths[1], LIMB):
                left, right = a[i : i + LIMB], b[j : j + LIMB]
                most = ((1 << len(left)) - 1) * ((1 << len(right)) - 1)
                held = self._held(m, ce, left * right, most, f"{name}_limb{i}_{j}")
                rows.append((held << (i + j), most << (i + j)))
        for level in range(self.latency - 1):
            pairs = [rows[k : k + 2] for k in range(0, len(rows), 2)]
            rows = []
            for k, pair in enumerate(pairs):
                total, most = (sum(part) for part in zip(*pair, strict=True))
                rows.append((self._held(m, ce, total, most, f"{name}_sum{level}_{k}"), most))
        return rows[0][0][self._shift :]

    def _held(self, m: Module, ce: Value, value: Value, most: int, name: str) -> Value:
        register = Signal(unsigned(most.bit_length()), name=name, reset_less=True)
        with m.If(ce):
            m.d.sync += register.eq(value)
        return register
