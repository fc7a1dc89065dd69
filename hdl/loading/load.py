"""The bus that writes and reads memories while no frame is in flight, and how it is handed on."""

from collections.abc import Mapping, Sequence

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

#: Bits of a 32-bit word's address within one layer.
ADDRESS_BITS = 24
#: Bits of a transfer.
DATA_BITS = 32


def load_signature(address_bits: int = ADDRESS_BITS) -> wiring.Signature:
    """One access at a time, of a 32-bit word.

    ``request`` stays up, with ``write``, ``address`` and ``data`` unchanged, until the cycle of
    ``ack``, and is low in the cycle after it. ``error`` and ``read`` are valid with ``ack``.
    """
    return wiring.Signature(
        {
            "request": Out(1),
            "write": Out(1),
            "address": Out(address_bits),
            "data": Out(DATA_BITS),
            "ack": In(1),
            "error": In(1),
            "read": In(DATA_BITS),
        }
    )


def loadable(parts: Mapping[str, wiring.Component]) -> dict[str, wiring.Component]:
    """Those of ``parts`` that have a ``load`` port."""
    return {n: part for n, part in parts.items() if "load" in part.signature.members}


def load_member(parts: Mapping[str, wiring.Component]) -> dict[str, wiring.Member]:
    """The ``load`` port of a component around ``parts``: none, or that of the one that has it."""
    found = loadable(parts)
    if len(found) > 1:
        raise ValueError(f"only one part of a layer may be loadable, not {', '.join(found)}")
    return {"load": In(load_signature())} if found else {}


def share(m: Module, given: object, takers: Sequence[object]) -> None:
    """Every taker gets the requests of ``given``; the first answers for all, which are equal."""
    first = takers[0]
    for taker in takers:
        for name in ("request", "write", "address", "data"):
            m.d.comb += getattr(taker, name).eq(getattr(given, name))
    for name in ("ack", "error", "read"):
        m.d.comb += getattr(given, name).eq(getattr(first, name))
