"""The pipeline of a matrix-vector unit, as a pure function of its sizes."""

from dataclasses import dataclass

from codesign.hdl.adders.tree import levels
from codesign.hdl.pipeline import (
    BLOCK_MEMORY_NS,
    DSP_NS,
    LUT_NS,
    REGISTER_NS,
    Step,
    adder_ns,
    cuts,
    fanout_ns,
)


@dataclass(frozen=True)
class MatVecPlan:
    """Steps in order, the ones followed by a register, and the registers in all."""

    names: tuple[str, ...]
    cuts: frozenset[str]

    @property
    def latency(self) -> int:
        """Memory read, the cuts, and the accumulator."""
        return 2 + len(self.cuts)


def plan_matvec(
    *,
    pe: int,
    simd: int,
    nf: int,
    sf: int,
    in_bits: int,
    planes: int,
    code_bits: int,
    multiplier: str,
    memory_style: str,
    acc_bits: int,
    max_stages: int = 6,
    loadable: bool = False,
) -> MatVecPlan:
    """Fewest stages that meet the delay model, at most ``max_stages`` (2 or more)."""
    if max_stages < 2:
        raise ValueError(f"a matrix-vector unit needs two stages or more, got {max_stages}")
    wide = in_bits + 2 if multiplier == "lut" else in_bits + code_bits
    rows = pe * simd * planes
    operand = fanout_ns(simd * in_bits) if nf > 1 else 0.0
    steps = [Step("operand", operand, simd * (in_bits + pe * code_bits))]
    row_ns = DSP_NS if multiplier == "dsp" else 0.3 + fanout_ns(2 * pe * planes)
    steps.append(Step("row", row_ns, rows * wide))
    count = simd
    for level in range(levels(simd)):
        count = -(-count // 2)
        width = wide + level + 1
        steps.append(Step(f"add{level}", adder_ns(width), pe * planes * count * width))
    for level in range(levels(planes)):
        width = wide + levels(simd) + 2 * (2 << level)
        steps.append(Step(f"digit{level}", adder_ns(width), pe * width))
    steps.append(Step("acc", adder_ns(acc_bits) + (LUT_NS if loadable else 0.0), 0))
    start = BLOCK_MEMORY_NS if memory_style == "block" else REGISTER_NS
    chosen = cuts(steps, max_stages - 2, start)
    return MatVecPlan(tuple(s.name for s in steps), frozenset(chosen))
