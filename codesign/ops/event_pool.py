"""EventPool: pooling whose work is proportional to its spikes, from events to events."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, ScaledInt
from codesign.ir import Value, register
from codesign.ir.plan import Events, Form, Plan
from codesign.ops.area import address_pool_cost
from codesign.ops.event_op import EventOp, elements_of_step, events_of
from codesign.ops.expected import Expected
from codesign.ops.max_pool import MaxPool
from codesign.ops.sum_pool import SumPool
from codesign.schema import Cost

if TYPE_CHECKING:
    from codesign.spikes.arrivals import Arrivals


def pools_spikes(pool: MaxPool | SumPool, x: Value) -> bool:
    """Whether ``pool`` reads steps of spikes, or, for sums, of their counts."""
    codes = isinstance(x.format, ScaledInt) and not x.format.zero_point
    most = 1 if isinstance(pool, MaxPool) else 255
    return bool(pool.steps and codes and x.format.lo == 0 and x.format.hi <= most)


@register("event_pool")
@dataclass(frozen=True, eq=False)
class EventPool(EventOp):
    """``pool`` on spikes (steps, ..., C): the largest of 0 and 1, or sums. An event becomes one of
    each window that sees it, a cycle each, in the order in which they arise.

    What reads it adds its events up: a sum goes on as so many events of one address, and only
    layers that are event-driven can read it. ``relabelled``: how its codes are read where that is
    not as ``pool`` says: an average is a sum with another scale.
    """

    pool: MaxPool | SumPool
    relabelled: ScaledInt | None = None

    gives_events: ClassVar[bool] = True

    @property
    def function(self) -> Literal["sum", "or"]:
        """What becomes of the spikes in a window."""
        return "or" if isinstance(self.pool, MaxPool) else "sum"

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        if not pools_spikes(self.pool, x):
            raise UnsupportedModel(
                f"event-driven pooling reads steps of spikes, got {x.shape} {x.format.label()}",
                hint="leave this layer as it is: its inputs are no spikes",
            )
        shape, format = self.pool.infer(x)
        return shape, self.relabelled or format

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        return self.pool.execute(ins, *arrays)

    def windows(self, x: Value) -> float:
        """Windows that see an element of ``x``, on average."""
        seen = (self.pool.geometry(x).indices() >= 0).sum()
        return float(seen) * x.shape[-1] / elements_of_step(x)

    def expected_out(self, x: Value) -> Expected:
        """The events that leave, at the expected ones in places that do not depend on each
        other."""
        return Expected(tuple(self._out_of(x, n) for n in self.expected.spikes))

    def _out_of(self, x: Value, spikes: int) -> int:
        """Events that leave in a step of so many."""
        if self.function == "sum":
            return ceil(spikes * self.windows(x))
        silent = 1 - spikes / elements_of_step(x)
        windows = prod(self.infer(x)[0][1:])
        return ceil(windows * (1 - silent ** prod(self.pool.kernel)))

    def events(self, x: Value, came: np.ndarray) -> np.ndarray:
        """How many events leave at each address, int64 [frames, steps, ...], where ``came`` are
        how many came at those of ``x``."""
        plain = self.pool.execute([x], came)
        return plain if self.function == "sum" else (plain > 0).astype(np.int64)

    def stream_plans(self, ins: list[Value]) -> list[Plan]:
        """One: an event a cycle."""
        (x,) = ins
        simd = self.scan_lanes(x, self._work(x, self.expected.mean))
        return [Plan("event", pe=1, simd=simd, levels=x.format.hi, reason=self.expected.describe())]

    def _work(self, x: Value, spikes: float) -> int:
        return ceil(spikes * max(1.0, self.windows(x)))

    def cycles(self, ins: list[Value], plan: Plan) -> int:
        """Of a frame, at the expected number of spikes in each step."""
        (x,) = ins
        scan = self.scan_cycles(x, plan)
        return sum(max(scan, self._work(x, spikes)) + 1 for spikes in self.expected.spikes)

    def form_out(self, plan: Plan) -> Form:
        return Events(plan.levels)

    def passes(self, x: Value, came: Arrivals) -> Arrivals:
        return _address_pool(self, x, 1).passes(came)  # type: ignore[no-any-return]

    def component(self, x: Value, plan: Plan) -> Any:
        return _address_pool(self, x, plan.levels)

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        (x,) = ins
        inputs, windows = elements_of_step(x), elements_of_step(out)
        divisors = x.shape[-1], self.pool.geometry(x).size[1]
        divisions = sum(n & (n - 1) > 0 for n in divisors)
        return address_pool_cost(inputs, windows, self.function == "or", divisions)

    def realisation(self, plan: Plan) -> str:
        made = "any spike" if self.function == "or" else "sum"
        return f"{events_of(plan)}, {made} of a window"


@lru_cache(maxsize=64)
def _address_pool(op: EventPool, x: Value, levels: int) -> Any:
    from codesign.hdl.spikes.address_pool import AddressPool

    pool = op.pool
    top, left, bottom, right = pool.pads
    return AddressPool(
        op.function,
        channels=x.shape[-1],
        size=pool.geometry(x).size,
        window=pool.kernel,
        stride=pool.strides,
        steps=x.shape[0],
        padding=(top, bottom, left, right),
        dilation=pool.dilations,
        levels=levels,
    )
