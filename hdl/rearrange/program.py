"""Long periodic sequences as short programs: straight lines and nested loops.

An address sequence of a transpose or an upsampling is a few numbers repeated in nested loops. The
loops are found in the sequence itself, so nothing needs to know which operation it came from; a
sequence without any regularity stays as it is and becomes a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Repeats of up to this many tokens are looked for in long sequences ...
LONG_PERIOD = 96
#: ... and of any length in sequences up to this long.
SHORT_SEQUENCE = 2048


@dataclass(frozen=True)
class Loop:
    """The instruction closes a loop of nesting ``level`` (0 is the outermost)."""

    level: int
    start: int
    count: int


@dataclass(frozen=True)
class Program:
    """Instruction ``n`` yields ``symbols[n]``; ``loops[n]``: the loops it closes, innermost first.

    The whole program repeats for ever.
    """

    symbols: tuple[int, ...]
    loops: tuple[tuple[Loop, ...], ...]

    @property
    def levels(self) -> int:
        """Depth of the deepest loop."""
        return max((loop.level + 1 for closed in self.loops for loop in closed), default=0)

    def run(self) -> list[int]:
        """The sequence again, by executing the program as the circuit does."""
        out, at, counts = [], 0, [0] * self.levels
        while at < len(self.symbols):
            out.append(self.symbols[at])
            following = at + 1
            for loop in self.loops[at]:
                if counts[loop.level] < loop.count - 1:
                    counts[loop.level] += 1
                    following = loop.start
                    break
                counts[loop.level] = 0
            at = following
        return out


def compress(sequence: Sequence[int]) -> Program:
    """The program of ``sequence``: loops if they save anything, else a straight line."""
    tokens = _Tokens()
    looped = tokens.program(_collapse(np.asarray(sequence, dtype=np.int64), tokens))
    straight = Program(tuple(int(s) for s in sequence), ((),) * len(sequence))
    # A loop costs a counter and the fields that describe it.
    saved = len(straight.symbols) - len(looped.symbols)
    return looped if saved > 4 * looped.levels else straight


class _Tokens:
    """Loops by number, so that equal ones are found by comparing integers. Symbols are >= 0,
    loops negative."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, tuple[int, ...]], int] = {}
        self._loops: list[tuple[int, tuple[int, ...]]] = []

    def loop(self, count: int, body: tuple[int, ...]) -> int:
        """The token of ``body`` repeated ``count`` times."""
        if len(body) == 1 and body[0] < 0:
            inner, body = self._loops[-1 - body[0]]
            count *= inner
        key = count, body
        if key not in self._numbers:
            self._loops.append(key)
            self._numbers[key] = -len(self._loops)
        return self._numbers[key]

    def program(self, tokens: np.ndarray) -> Program:
        """Instructions of a token sequence."""
        symbols: list[int] = []
        loops: list[tuple[Loop, ...]] = []

        def emit(token: int, level: int) -> None:
            if token >= 0:
                symbols.append(token)
                loops.append(())
                return
            count, body = self._loops[-1 - token]
            start = len(symbols)
            for item in body:
                emit(item, level + 1)
            loops[-1] = (*loops[-1], Loop(level, start, count))

        for token in tokens.tolist():
            emit(token, 0)
        return Program(tuple(symbols), tuple(loops))


def _collapse(sequence: np.ndarray, tokens: _Tokens) -> np.ndarray:
    """Replace neighbouring repeats by loops, shortest bodies first, until none is left."""
    while True:
        longest = len(sequence) // 2
        if len(sequence) > SHORT_SEQUENCE:
            longest = min(longest, LONG_PERIOD)
        for period in range(1, longest + 1):
            shorter = _collapse_period(sequence, period, tokens)
            if shorter is not None:
                sequence = shorter
                break
        else:
            return sequence


def _collapse_period(sequence: np.ndarray, period: int, tokens: _Tokens) -> np.ndarray | None:
    """``sequence`` with its repeats of ``period`` tokens replaced; None when there are none."""
    same = np.concatenate([[False], sequence[period:] == sequence[:-period], [False]])
    edges = np.flatnonzero(np.diff(same.astype(np.int8)))
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    parts, at = [], 0
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        count = (length + period) // period
        if count < 2 or start < at:
            continue
        body = tuple(sequence[start : start + period].tolist())
        parts += [sequence[at:start], [tokens.loop(count, body)]]
        at = start + count * period
    if not parts:
        return None
    return np.concatenate([*parts, sequence[at:]]).astype(np.int64)
