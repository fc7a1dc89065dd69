"""Runs a graph on integer codes with numpy: the reference every backend is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from codesign.ir import Graph, Node, Value
from codesign.ops.neuron import Neuron
from codesign.reference.loops import loop_of


def run(
    graph: Graph,
    inputs: dict[str, np.ndarray],
    *,
    keep: Iterable[str] = (),
    chunk: int = 4096,
    progress: Callable[[int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Execute ``graph`` on a batch.

    ``inputs``: value name -> array with a leading batch axis. Any values may be given: nodes
    whose outputs are already there are skipped, so a run can start at the circuit's own input.
    Returns the graph outputs and the values named in ``keep``. ``progress`` is told the frames
    done after each chunk.
    """
    wanted = [*dict.fromkeys([*graph.outputs, *keep])]
    frames = len(next(iter(inputs.values())))
    if any(node.op.carries for node in graph.nodes):
        chunk = max(1, frames)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for start in range(0, max(frames, 1), chunk):
        env = {name: array[start : start + chunk] for name, array in inputs.items()}
        _execute(graph, env, set(wanted))
        for name in wanted:
            parts[name].append(env[name])
        if progress:
            progress(len(next(iter(env.values()))))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def _execute(graph: Graph, env: dict[str, np.ndarray], wanted: set[str]) -> None:
    """Compute ``wanted`` and whatever it needs into ``env``."""
    waiting = _groups(graph, _needed(graph, set(env), wanted))
    while waiting:
        late = []
        for group in waiting:  # in graph order; a loop may start before all it reads is there
            inside = {node.output for node in group}
            if not all(name in env or name in inside for node in group for name in node.inputs):
                late.append(group)
            elif len(group) > 1 or group[0].op.delays and group[0].inputs[0] in inside:
                _run_loop(graph, group, env)
            else:
                (node,) = group
                env[node.output] = node.op.execute(graph.ins(node), *(env[n] for n in node.inputs))
        if len(late) == len(waiting):
            raise ValueError(f"nothing can run: '{late[0][0].name}' waits for its inputs")
        waiting = late


def _groups(graph: Graph, nodes: list[Node]) -> list[list[Node]]:
    """Each loop together, every other node alone, by their first node."""
    loops: dict[str, list[Node]] = {}
    for node in nodes:
        if node.op.delays and node.name not in loops:
            loop = loop_of(graph, nodes, node)
            loops |= {member.name: loop for member in loop}
    groups, done = [], set()
    for node in nodes:
        if node.name not in done:
            groups.append(loops.get(node.name, [node]))
            done |= {member.name for member in groups[-1]}
    return groups


def _run_loop(graph: Graph, loop: list[Node], env: dict[str, np.ndarray]) -> None:
    """Nodes that depend on each other through delays, one step (first axis) after the other. Where
    they go on from frame to frame, all frames are one of as many steps."""
    inside = {node.output for node in loop}
    steps = next(graph.out(node).shape[0] for node in loop if node.op.delays)
    given = {name: env[name] for node in loop for name in node.inputs if name not in inside}
    frames = len(next(iter(env.values())))
    if goes_on := _goes_on(loop):
        given = {name: array.reshape(1, -1, *array.shape[2:]) for name, array in given.items()}
    rows, count = (1, frames * steps) if goes_on else (frames, steps)
    runners = {node.name: node.op.runner(steps) for node in loop}
    ordered = sorted(loop, key=lambda node: not node.op.delays)  # stable: delays first
    history: dict[str, list[np.ndarray]] = {name: [] for name in inside}
    for t in range(count):
        now: dict[str, np.ndarray] = {}
        for node in ordered:
            if node.op.delays:
                before = history[node.inputs[0]] if t else []
                now[node.output] = before[-1] if before else _initial(node, rows)
                continue
            arrays = [now[n] if n in inside else given[n][:, t : t + 1] for n in node.inputs]
            ins = [_step_value(value) for value in graph.ins(node)]
            now[node.output] = runners[node.name](ins, *arrays)
        for name, array in now.items():
            history[name].append(array)
    for name, arrays in history.items():
        made = np.concatenate(arrays, axis=1)
        env[name] = made.reshape(frames, steps, *made.shape[2:])


def _goes_on(loop: list[Node]) -> bool:
    """Whether what a loop holds at the end of a frame is there when the next one begins; of all
    that holds something, or of nothing."""
    found = {node.op.carries for node in loop if node.op.delays or isinstance(node.op, Neuron)}
    if len(found) > 1:
        raise ValueError(f"only a part of the loop at '{loop[0].name}' goes on from frame to frame")
    return found.pop()


def _initial(node: Node, frames: int) -> np.ndarray:
    initial = np.asarray(node.op.initial)  # type: ignore[attr-defined]
    return np.broadcast_to(initial, (frames, 1, *initial.shape))


def _step_value(value: Value) -> Value:
    return replace(value, shape=(1, *value.shape[1:]))


def _needed(graph: Graph, given: set[str], wanted: set[str]) -> list[Node]:
    """The nodes to run, in graph order."""
    producers = {name: node for node in graph.nodes for name in node.outputs}
    kept: set[str] = set()
    todo = [name for name in wanted if name not in given]
    while todo:
        name = todo.pop()
        if name not in producers:
            raise ValueError(f"no value given for '{name}'")
        node = producers[name]
        if node.name not in kept:
            kept.add(node.name)
            todo += [n for n in node.inputs if n not in given]
    return [node for node in graph.nodes if node.name in kept]
