"""One grid for sums: where values of different steps are added, the coarser weights get finer."""

from __future__ import annotations

from codesign.errors import UnsupportedModel
from codesign.frontend.names import printable
from codesign.frontend.spiking.layers import (
    INPUT,
    Conv,
    Dense,
    Network,
    Neurons,
    Scaled,
    WindowSum,
)


def extra_bits(network: Network, input_frac: int, weight_frac: int) -> dict[str, int]:
    """How many fraction bits more the weights of a layer need, so that all sums that are added
    have the same step (an input with fraction bits and recurrent spikes).

    Raises :class:`UnsupportedModel` where no weights stand between the value and the sum.
    """
    extra: dict[str, int] = {}
    for _ in range(len(network.layers) + 1):
        fracs = _fracs(network, input_frac, weight_frac, extra)
        coarse = _coarsest(network, fracs)
        if coarse is None:
            return extra
        source, target, missing = coarse
        if not isinstance(network.layers.get(source), Dense | Conv | Scaled):
            raise UnsupportedModel(
                f"what '{printable(source or 'input')}' gives has coarser steps than what else "
                "arrives, and no weights to refine",
                where=printable(target),
                hint="give input and weights the same fraction bits",
            )
        extra[source] = extra.get(source, 0) + missing
    raise UnsupportedModel(
        "sums in a loop get ever finer", where=network.name, hint="put neurons into the loop"
    )


def _coarsest(network: Network, fracs: dict[str, int]) -> tuple[str, str, int] | None:
    for target in network.layers:
        given = {s: fracs[s] for s, t in network.edges if t == target and s in fracs}
        finest = max(given.values(), default=0)
        for source, frac in given.items():
            if frac < finest:
                return source, target, finest - frac
    return None


def _fracs(
    network: Network, input_frac: int, weight_frac: int, extra: dict[str, int]
) -> dict[str, int]:
    """Fraction bits of what each layer puts out."""
    found = {INPUT: input_frac}
    found |= {n: x.out.frac for n, x in network.layers.items() if isinstance(x, Neurons)}
    todo = [name for name in network.layers if name not in found]
    while todo:
        ready = []
        for name in todo:
            given = [found[s] for s, t in network.edges if t == name and s in found]
            if given:
                ready.append(name)
                found[name] = max(given) + _added(network, name, weight_frac, extra)
        if not ready:
            return found  # unreachable layers are refused where shapes are found
        todo = [name for name in todo if name not in ready]
    return found


def _added(network: Network, name: str, weight_frac: int, extra: dict[str, int]) -> int:
    layer = network.layers[name]
    if isinstance(layer, Dense | Conv | Scaled):
        return weight_frac + extra.get(name, 0)
    if isinstance(layer, WindowSum):
        return layer.shift
    return 0
