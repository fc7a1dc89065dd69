"""The hardware of an encoder."""

from codesign.hdl.spikes.encode_counts import CountEncoder
from codesign.hdl.spikes.encode_delta import DeltaEncoder
from codesign.hdl.spikes.encode_direct import DirectEncoder
from codesign.hdl.spikes.encode_latency import LatencyEncoder
from codesign.hdl.spikes.encode_rate import RateEncoder
from codesign.hdl.spikes.replay import Replay
from codesign.spikes import coders


def encoder_of(
    encoder: coders.Encoder, span: tuple[int, int], *, elements: int, lanes: int
) -> Replay | DeltaEncoder:
    """``encoder`` for vectors of ``elements`` codes in ``span``, ``lanes`` (a divisor) a beat; of a
    signal, so many in each step.

    ``ValueError`` for an encoder that has no hardware."""
    sizes = {"elements": elements, "steps": encoder.steps, "lanes": lanes}
    lo, hi = span
    match encoder:
        case coders.Rate(bits=bits, seed=seed):
            return RateEncoder(bits=bits, seed=seed, **sizes)
        case coders.Latency(bits=bits, low=low):
            return LatencyEncoder(bits=bits, low=low, **sizes)
        case coders.Direct():
            return DirectEncoder(lo=lo, hi=hi, **sizes)
        case coders.Count(form=form):
            return CountEncoder(form, lo=lo, hi=hi, **sizes)  # type: ignore[arg-type]
        case coders.Delta(low=low, steps=steps):
            return DeltaEncoder(lo=lo, hi=hi, low=low, features=elements, steps=steps, lanes=lanes)
    raise ValueError(f"no hardware encodes as {type(encoder).__name__}")
