"""Spikes as numbers: event lists, and the exact meaning of every encoder, decoder and
event-driven layer. numpy only; :mod:`codesign.hdl.spikes` is their hardware."""

from codesign.spikes.aer import Events, decode, encode, from_beats, to_beats

__all__ = ["Events", "decode", "encode", "from_beats", "to_beats"]
