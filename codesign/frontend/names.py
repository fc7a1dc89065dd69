"""Safe, readable, unique names from whatever an ONNX file calls its nodes and tensors.

Names become Verilog instance names, C++ identifiers and file names, and a model file is
untrusted: every name that leaves the front end matches ``[a-z][a-z0-9_]*``, is at most
``MAX_LENGTH`` long, and is no keyword of Verilog, SystemVerilog or C++.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_LENGTH = 48

_VERILOG = """
accept_on alias always always_comb always_ff always_latch and assert assign assume automatic
before begin bind bins binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle
checker class clocking cmos config const constraint context continue cover covergroup coverpoint
cross deassign default defparam design disable dist do edge else end endcase endchecker endclass
endclocking endconfig endfunction endgenerate endgroup endinterface endmodule endpackage
endprimitive endprogram endproperty endsequence endspecify endtable endtask enum event eventually
expect export extends extern final first_match for force foreach forever fork forkjoin function
generate genvar global highz0 highz1 if iff ifnone ignore_bins illegal_bins implements implies
import incdir include initial inout input inside instance int integer interconnect interface
intersect join join_any join_none large let liblist library local localparam logic longint
macromodule matches medium modport module nand negedge nettype new nexttime nmos nor
noshowcancelled not notif0 notif1 null or output package packed parameter pmos posedge primitive
priority program property protected pull0 pull1 pulldown pullup pulsestyle_ondetect
pulsestyle_onevent pure rand randc randcase randsequence rcmos real realtime ref reg reject_on
release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1 s_always s_eventually
s_nexttime s_until s_until_with scalared sequence shortint shortreal showcancelled signed small
soft solve specify specparam static string strong strong0 strong1 struct super supply0 supply1
sync_accept_on sync_reject_on table tagged task this throughout time timeprecision timeunit tran
tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef union unique unique0 unsigned until
until_with untyped use uwire var vectored virtual void wait wait_order wand weak weak0 weak1 while
wildcard wire with within wor xnor xor
"""
_CPP = """
alignas alignof and_eq asm atomic_cancel atomic_commit atomic_noexcept auto bitand bitor bool
catch char char8_t char16_t char32_t co_await co_return co_yield compl concept consteval
constexpr constinit const_cast decltype delete double dynamic_cast explicit false float friend
goto inline long main mutable namespace noexcept not_eq nullptr operator or_eq private public
reflexpr register reinterpret_cast requires short sizeof static_assert static_cast std switch
synchronized template thread_local throw true try typeid typename using volatile wchar_t xor_eq
"""
#: Names of the emitted top and its streams, and of C's library.
_OURS = "aclk aresetn clk rst clock reset network top codesign_top codesign i o m s in out errno"

RESERVED = frozenset(f"{_VERILOG} {_CPP} {_OURS}".split())

#: Path segments that Brevitas adds and that say nothing about the layer.
_NOISE_WORDS = """
export_handler activation_impl act_quant weight_quant bias_quant input_quant output_quant
fused_activation_quant_proxy tensor_quant _symbolic
"""
_NOISE = frozenset(_NOISE_WORDS.split())


def _is_noise(segment: str) -> bool:
    """Whether ``segment`` is one of those, or the copy of one for a module's second call."""
    return re.sub(r"_\d+$", "", segment) in _NOISE


def safe(text: str, fallback: str = "v") -> str:
    """``text`` as a safe identifier; not necessarily unique."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    if not name:
        return fallback
    if not name[0].isalpha():
        name = f"v{name}"
    if len(name) > MAX_LENGTH:
        name = name[:MAX_LENGTH].rstrip("_")
    return f"{name}_x" if name in RESERVED else name


def segments(text: str) -> list[str]:
    """Module path of an exporter's name without the exporter's own additions.

    ``/inp/act_quant/export_handler/Quant_output_0`` gives ``['inp', 'Quant']``;
    ``/features/features.0/Gemm`` gives ``['features', '0', 'Gemm']``.
    """
    parts = [p for p in re.sub(r"_output_0$", "", text).split("/") if p]
    following = [*parts[1:], ""]
    own = [p for i, p in enumerate(parts) if not following[i].startswith(p + ".")]
    split = [s for p in own for s in re.split(r"[.:]+", p) if s]
    return [s for s in split if not _is_noise(s)]


def tidy(text: str) -> str:
    """A readable safe name from an exporter's tensor or node name."""
    return safe("_".join(segments(text)))


def printable(text: str, limit: int = 80) -> str:
    """``text`` fit for a one-line message: control characters escaped, length bounded."""
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return plain if len(plain) <= limit else plain[: limit - 3] + "..."


class Names:
    """Hands out unique names."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def unique(self, wish: str) -> str:
        """``wish`` made safe, with ``_2``, ``_3`` ... appended if it is taken."""
        base = safe(wish)
        name, count = base, 1
        while name in self._taken:
            count += 1
            suffix = f"_{count}"
            name = base[: MAX_LENGTH - len(suffix)].rstrip("_") + suffix
        self._taken.add(name)
        return name
