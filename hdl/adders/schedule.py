"""Pipelining of a shift-add graph: a stage for every node, as few register bits as possible.

Delay model (ECP5 speed grade 6, after routing): an adder of n chain bits adds `LEVEL_NS + n *
BIT_NS` to its later operand, and each stage spends `STAGE_NS` on clock-to-output, setup and the
fan-out of its registers. Fitted to nextpnr on a 32 x 16 layer of 4-bit weights (2400 LUTs): 125 MHz
at a modelled 8.4 ns (three adders deep), 97 MHz at 10.6 ns (four deep). Wires grow with the
design: a 64 x 32 layer (9000 LUTs) modelled at 8.4 ns reached 79 to 85 MHz. Ask for a shorter
period there.
"""

from dataclasses import dataclass

from codesign.hdl.adders.graph import AdderGraph, chain_bits

__all__ = ["Schedule", "ff_estimate", "least_depth", "schedule"]

STAGE_NS = 1.6
LEVEL_NS = 2.0
BIT_NS = 0.035
PERIOD_NS = 7.5  # 100 MHz with a margin for layers of a few thousand LUTs
SWEEPS = 12


@dataclass(frozen=True)
class Schedule:
    """`stages[i]`: stage 0 .. depth-1 in which node i is computed; a register ends each stage.

    `last_use[i]`: last stage that reads node i's value (its own stage: no register; `depth`: it
    is an output). `delay_ns`: the slowest stage by the delay model.
    """

    depth: int
    stages: tuple[int, ...]
    last_use: tuple[int, ...]
    delay_ns: float


def node_delays(graph: AdderGraph) -> list[float]:
    """Nanoseconds from the later operand to each node's value."""
    bits = [chain_bits(node, graph.nodes) for node in graph.nodes]
    return [LEVEL_NS + BIT_NS * n if n else 0.0 for n in bits]


def least_depth(graph: AdderGraph, period_ns: float) -> int:
    """Fewest stages (at least 1) whose modelled delay meets `period_ns`."""
    if period_ns < STAGE_NS + max(node_delays(graph), default=0.0):
        raise ValueError(
            f"period_ns={period_ns} is shorter than one adder takes: "
            f"{STAGE_NS + max(node_delays(graph), default=0.0):.2f} ns"
        )
    return _forward(graph, node_delays(graph), period_ns - STAGE_NS)[1]


def schedule(
    graph: AdderGraph, depth: int | None = None, *, period_ns: float = PERIOD_NS
) -> Schedule:
    """Stages for exactly `depth` registers between input and output (`None`: as few as
    `period_ns` allows), the slowest stage as fast as possible, then few register bits."""
    if depth is None:
        depth = least_depth(graph, period_ns)
        limit = period_ns - STAGE_NS
    else:
        if depth < 1:
            raise ValueError(f"the result is registered: depth must be at least 1, got {depth}")
        limit = _shortest_limit(graph, depth)
    search = _Search(graph, depth, limit)
    search.improve()
    uses = tuple(search.last_use(i) for i in range(len(graph.nodes)))
    slowest = max((search.arrival(i) for i in range(len(graph.nodes))), default=0.0)
    return Schedule(depth, tuple(search.stages), uses, STAGE_NS + slowest)


def ff_estimate(graph: AdderGraph, plan: Schedule) -> int:
    """Register bits of the pipeline: data, and one valid bit per stage."""
    bits = sum(
        node.width * max(0, last - stage)
        for node, stage, last in zip(graph.nodes, plan.stages, plan.last_use, strict=True)
        if node.op != "const"
    )
    return bits + plan.depth


def _forward(graph: AdderGraph, delays: list[float], limit: float) -> tuple[list[int], int]:
    """Earliest stages such that no stage takes longer than `limit`; and how many there are."""
    stages: list[int] = []
    arrivals: list[float] = []
    for node, delay in zip(graph.nodes, delays, strict=True):
        stage = max((stages[o] for o in node.operands), default=0)
        start = max((arrivals[o] for o in node.operands if stages[o] == stage), default=0.0)
        if start + delay > limit + 1e-9:
            stage, start = stage + 1, 0.0
        stages.append(stage)
        arrivals.append(start + delay)
    return stages, max(stages, default=0) + 1


def _backward(
    graph: AdderGraph, delays: list[float], limit: float, depth: int, users: list[list[int]]
) -> list[int]:
    """Latest stages such that no stage takes longer than `limit` and all end by `depth`."""
    stages = [depth - 1] * len(graph.nodes)
    tails = [0.0] * len(graph.nodes)  # from the node's start to the end of its stage's logic
    for i in range(len(graph.nodes) - 1, -1, -1):
        stage = min((stages[u] for u in users[i]), default=depth - 1)
        tail = max((tails[u] for u in users[i] if stages[u] == stage), default=0.0)
        if tail + delays[i] > limit + 1e-9:
            stage, tail = stage - 1, 0.0
        if graph.nodes[i].op == "input":
            stage = 0
        stages[i], tails[i] = stage, tail + delays[i]
    return stages


def _shortest_limit(graph: AdderGraph, depth: int) -> float:
    """Least stage delay (to 0.05 ns) with which `depth` stages suffice."""
    delays = node_delays(graph)
    low, high = max(delays, default=0.0), sum(sorted(delays)[-max(graph.levels, default=0) :])
    while high - low > 0.05:
        middle = (low + high) / 2
        if _forward(graph, delays, middle)[1] <= depth:
            high = middle
        else:
            low = middle
    return low if _forward(graph, delays, low)[1] <= depth else high


class _Search:
    """Local moves of single nodes and small cones that lower the number of register bits."""

    def __init__(self, graph: AdderGraph, depth: int, limit: float) -> None:
        self.graph, self.depth, self.limit = graph, depth, limit + 1e-9
        self.delays = node_delays(graph)
        self.width = [0 if n.op == "const" else n.width for n in graph.nodes]
        self.users: list[list[int]] = [[] for _ in graph.nodes]
        for i, node in enumerate(graph.nodes):
            for operand in set(node.operands):
                self.users[operand].append(i)
        self.is_output = [False] * len(graph.nodes)
        for out in graph.outputs:
            self.is_output[out.node] = True
        late = _backward(graph, self.delays, limit, depth, self.users)
        early = _forward(graph, self.delays, limit)[0]
        self.stages = min((early, late), key=self._total)

    def _total(self, stages: list[int]) -> int:
        self.stages = stages
        return sum(self._bits(i) for i in range(len(stages)))

    def last_use(self, i: int) -> int:
        if self.is_output[i]:
            return self.depth
        return max((self.stages[u] for u in self.users[i]), default=self.stages[i])

    def _bits(self, i: int) -> int:
        return self.width[i] * (self.last_use(i) - self.stages[i])

    def arrival(self, i: int) -> float:
        """Nanoseconds from the start of the node's stage to its value."""
        stage = self.stages[i]
        same = [o for o in self.graph.nodes[i].operands if self.stages[o] == stage]
        return self.delays[i] + max((self.arrival(o) for o in same), default=0.0)

    def _tail(self, i: int) -> float:
        stage = self.stages[i]
        same = [u for u in self.users[i] if self.stages[u] == stage]
        return self.delays[i] + max((self._tail(u) for u in same), default=0.0)

    def improve(self) -> None:
        """Sweep until no move helps."""
        adders = [i for i, n in enumerate(self.graph.nodes) if n.is_adder]
        for sweep in range(SWEEPS):
            order = adders if sweep % 2 else adders[::-1]
            moves = sum(self._try(i, step) for i in order for step in (1, -1))
            if moves == 0:
                break

    def _try(self, i: int, step: int) -> bool:
        """Move node i, and with it what stands in the way, by one stage if that saves bits."""
        moved = self._cone(i, step)
        if moved is None:
            return False
        touched = {o for m in moved for o in self.graph.nodes[m].operands} | set(moved)
        before = sum(self._bits(t) for t in touched)
        for m in moved:
            self.stages[m] += step
        if sum(self._bits(t) for t in touched) < before and all(map(self._fits, moved)):
            return True
        for m in moved:
            self.stages[m] -= step
        return False

    def _fits(self, i: int) -> bool:
        return self.arrival(i) + self._tail(i) - self.delays[i] <= self.limit

    def _cone(self, i: int, step: int) -> list[int] | None:
        """Node i and all that must move with it: users in its stage (later) or operands
        (earlier); `None` if the pipeline ends there or the cone is large."""
        stage, moved, pending = self.stages[i], [], [i]
        if not 0 <= stage + step < self.depth:
            return None
        while pending:
            current = pending.pop()
            if current in moved:
                continue
            moved.append(current)
            if len(moved) > 8:
                return None
            node = self.graph.nodes[current]
            near = self.users[current] if step > 0 else node.operands
            pending.extend(
                n for n in near if self.stages[n] == stage and self.graph.nodes[n].is_adder
            )
        return moved
