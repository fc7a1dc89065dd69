"""Between integer codes and the beats on a wire, vectorised.

A beat is little-endian ``uint32`` words, lane 0 in the low bits, two's complement when the port
is signed: exactly how Verilator keeps a wide signal, so the C++ harness copies words.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codesign.errors import UsageError
from codesign.manifest import Port

Words = NDArray[np.uint32]
Codes = NDArray[np.int64]


def words_per_beat(port: Port, extra_bits: int = 0) -> int:
    """32-bit words that hold one beat of ``port`` (and ``extra_bits`` above its data)."""
    return -(-max(port.data_bits, port.payload_bits + extra_bits) // 32)


def check_codes(codes: NDArray, port: Port) -> Codes:
    """``codes`` as int64[n, elements]; ``UsageError`` when shape or a value is wrong."""
    array = np.asarray(codes)
    if array.dtype.kind not in "iub":
        raise UsageError(
            f"codes must be integers, got {array.dtype}", where=f"tensor '{port.tensor}'"
        )
    if array.ndim < 1 or array.size != len(array) * port.elements:
        raise UsageError(
            f"codes have shape {array.shape}, expected (frames, {port.elements})",
            where=f"tensor '{port.tensor}'",
        )
    flat = array.reshape(len(array), port.elements).astype(np.int64, copy=False)
    low = -(1 << (port.bits - 1)) if port.signed else 0
    high = (1 << (port.bits - 1)) - 1 if port.signed else (1 << port.bits) - 1
    if flat.size and (int(flat.min()) < low or int(flat.max()) > high):
        frame, index = np.argwhere((flat < low) | (flat > min(high, 2**63 - 1)))[0]
        raise UsageError(
            f"code {flat[frame, index]} at frame {frame}, index {index} does not fit "
            f"{port.bits} {'signed' if port.signed else 'unsigned'} bits",
            where=f"tensor '{port.tensor}'",
        )
    return flat


def pack(codes: NDArray, port: Port, *, last: bool = False) -> Words:
    """Beats of ``codes``: uint32[n, beats, words]; padding lanes are zero.

    With ``last`` the bit above the data is the beat's ``last``, as in a stream payload.
    """
    flat = check_codes(codes, port)
    frames, words = len(flat), words_per_beat(port, int(last))
    slots = port.beats * port.lanes
    if slots != port.elements:
        flat = np.pad(flat, ((0, 0), (0, slots - port.elements)))
    lanes = np.ascontiguousarray(flat.reshape(frames * port.beats, port.lanes).T).view(np.uint64)
    if port.bits < 64:
        lanes = lanes & np.uint64((1 << port.bits) - 1)
    out = np.zeros((words, frames * port.beats), np.uint32)
    for lane in range(port.lanes):
        _insert(out, lanes[lane], lane * port.bits, port.bits)
    beats = np.ascontiguousarray(out.T).reshape(frames, port.beats, words)
    if last:
        word, bit = divmod(port.lanes * port.bits, 32)
        beats[:, -1, word] |= np.uint32(1 << bit)
    return beats


def _insert(out: Words, value: NDArray[np.uint64], offset: int, bits: int) -> None:
    """OR ``value`` (``bits`` wide) into the columns of ``out`` at bit ``offset``."""
    word, shift = divmod(offset, 32)
    out[word] |= (value << np.uint64(shift)).astype(np.uint32)
    taken = 32 - shift
    while taken < bits:
        word += 1
        out[word] |= (value >> np.uint64(taken)).astype(np.uint32)
        taken += 32


def unpack(beats: Words, port: Port) -> Codes:
    """Codes int64[n, elements] of uint32[n, beats, words]; padding is dropped."""
    frames = len(beats)
    columns = np.ascontiguousarray(beats.reshape(frames * port.beats, -1).T)
    lanes = np.empty((port.lanes, frames * port.beats), np.uint64)
    for lane in range(port.lanes):
        lanes[lane] = _extract(columns, lane * port.bits, port.bits)
    codes = lanes.view(np.int64)
    if port.bits < 64:
        spare = 64 - port.bits
        codes = codes << spare
        codes = codes >> spare if port.signed else (codes.view(np.uint64) >> spare).view(np.int64)
    return np.ascontiguousarray(codes.T).reshape(frames, -1)[:, : port.elements]


def _extract(columns: Words, offset: int, bits: int) -> NDArray[np.uint64]:
    """``bits`` bits from bit ``offset`` (the bits above them are whatever follows)."""
    word, shift = divmod(offset, 32)
    value = columns[word].astype(np.uint64) >> np.uint64(shift)
    taken = 32 - shift
    while taken < bits:
        word += 1
        value |= columns[word].astype(np.uint64) << np.uint64(taken)
        taken += 32
    return value


def mask(port: Port, *, last: bool = False) -> Words:
    """uint32[beats, words]: the bits that mean something (data, and ``last`` if asked)."""
    words = words_per_beat(port, int(last))
    masks = np.zeros((port.beats, words), np.uint32)
    for beat in range(port.beats):
        lanes = min(port.lanes, port.elements - beat * port.lanes)
        bits = (1 << (lanes * port.bits)) - 1
        if last:
            bits |= 1 << (port.lanes * port.bits)
        masks[beat] = np.frombuffer(bits.to_bytes(4 * words, "little"), "<u4")
    return masks


def as_bitstrings(beats: Words, width: int) -> list[str]:
    """Each beat of uint32[..., words] as ``width`` binary digits, most significant first."""
    words = beats.shape[-1]
    octets = np.ascontiguousarray(beats, dtype="<u4").reshape(-1, words).view(np.uint8)
    digits = np.unpackbits(octets, axis=1, bitorder="little")[:, :width][:, ::-1]
    text = (digits + ord("0")).astype(np.uint8).tobytes().decode("ascii")
    return [text[k : k + width] for k in range(0, len(text), width)]


def code_in(digits: str, lane: int, port: Port) -> int:
    """Code of ``lane`` in a beat written as binary digits (data only)."""
    end = len(digits) - lane * port.bits
    value = int(digits[end - port.bits : end], 2)
    return value - (1 << port.bits) if port.signed and value >> (port.bits - 1) else value
