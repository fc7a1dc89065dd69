"""The lanes of a beat wired to those of another, in one or a few ways."""

import numpy as np
from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from codesign.hdl.stream import range_shape, stream_signature


class Lanes:
    """``patterns``: int64 [n, lanes], the input lane each output lane shows, -1 for ``fill``."""

    def __init__(
        self,
        patterns: np.ndarray,
        in_range: tuple[int, int],
        out_range: tuple[int, int],
        fill: int,
    ) -> None:
        self._patterns, self._fill = np.asarray(patterns), fill
        self.count = self._patterns.shape[1]
        self.in_shape, self.out_shape = range_shape(*in_range), range_shape(*out_range)

    def ports(self) -> dict:
        """Members ``i`` and ``o`` of a component around these lanes."""
        return {
            "i": In(stream_signature(self.in_shape, self.count)),
            "o": Out(stream_signature(self.out_shape, self.count)),
        }

    @property
    def luts(self) -> int:
        """LUT4s of the multiplexers (rough)."""
        ways = sum(len(np.unique(column)) - 1 for column in self._patterns.T)
        return int(ways * self.out_shape.width)

    def shown(
        self, m: Module, data: Value, choice: Value | None, padding: Value | None
    ) -> list[Value]:
        """Each output lane's code: of the packed input lanes ``data``, wired as pattern
        ``choice`` says, or ``fill`` where ``padding``."""
        width = self.in_shape.width
        fill = Const(self._fill, self.out_shape)
        codes: list[Value] = []
        for lane in range(self.count):
            code = Signal(self.in_shape, name=f"code{lane}")
            m.d.comb += code.eq(data[lane * width : (lane + 1) * width])
            codes.append(code)
        return [self._lane(m, lane, [*codes, fill], choice, padding) for lane in range(self.count)]

    def _lane(
        self, m: Module, lane: int, codes: list[Value], choice: Value | None, padding: Value | None
    ) -> Value:
        column = self._patterns[:, lane].tolist()
        picked: Value = codes[column[0]]  # -1 is the fill, the last
        if len(set(column)) > 1:
            assert choice is not None
            wire = Signal(self.out_shape, name=f"shown{lane}")
            with m.Switch(choice):
                for number, source in enumerate(column):
                    with m.Case(number):
                        m.d.comb += wire.eq(codes[source])
            picked = wire
        return picked if padding is None else Mux(padding, codes[-1], picked)
