"""An order in which every layer comes after what it reads in the same step."""

from __future__ import annotations

from codesign.errors import UnsupportedModel
from codesign.frontend.names import printable
from codesign.frontend.spiking.layers import INPUT, DelayLine, Network


def ordered(network: Network) -> list[str]:
    """Names of the layers; delay lines and delayed edges are no dependencies.

    Raises :class:`UnsupportedModel` naming a loop without delay, or a layer nothing reaches.
    """
    waiting = dict.fromkeys(network.layers, 0)
    readers: dict[str, list[str]] = {name: [] for name in (INPUT, *network.layers)}
    for edge in network.edges:
        source, target = edge
        if edge in network.delayed or isinstance(network.layers.get(source), DelayLine):
            continue
        waiting[target] += 1
        readers[source].append(target)
    ready = [INPUT, *(name for name, count in waiting.items() if not count)]
    done: list[str] = []
    while ready:
        name = ready.pop(0)
        if name != INPUT:
            done.append(name)
        for target in readers[name]:
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    left = [name for name in network.layers if name not in done]
    while ends := [name for name in left if not set(readers[name]) & set(left)]:
        left = [name for name in left if name not in ends]  # they only read what a loop gives
    if left:
        raise UnsupportedModel(
            f"layers in a loop without a neuron or delay: {', '.join(map(printable, left[:6]))}",
            where=network.name,
            hint="a loop passes through neurons, whose spikes arrive one step later",
        )
    return done
