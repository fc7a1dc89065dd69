"""Many steps of a layer of plain neurons as one differentiable function.

Forward goes step by step in place, without a graph, and keeps one number a neuron and step: the
membrane before its clamp. Backward is written out: with ``u`` that membrane, ``p = clamp(u)`` and
``h`` the surrogate's derivative of the spike (1 for a membrane that is read itself),

    dL/du_t = (dL/dout_t h(p_t) + dL/dv_t dv_t/dp_t) [lo <= u_t <= hi]     dL/dv_{t-1} = c dL/du_t

with the decay ``c``. Spatial learning (SLTT) is the first term alone, all steps at once;
backpropagation through time has both. Values and derivatives are those of :mod:`.step`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from codesign.neurons import Lif
from codesign.neurons.leak import PRODUCTS
from codesign.train.needs import need
from codesign.train.spiking.layer import SpikingLayer
from codesign.train.spiking.network import Block
from codesign.train.spiking.ste import scaled

torch = need("torch")

#: Integers that float32 holds.
EXACT = 1 << 24


def is_plain(neuron: SpikingLayer | None) -> bool:
    """Whether :class:`Plain` can run these neurons: one state, one threshold, a decay that is not
    learned, a reset in the same step after leak and charge, one clamp; all of it in float32."""
    if neuron is None or neuron.dtype != torch.float32:
        return False
    m = neuron.model
    readable = m.reset == "none" if m.output == "membrane" else m.theta.min() >= 0
    return bool(
        set(neuron.learn) <= {"theta", "bias"}
        and [state.name for state in m.states] == ["v"]
        and (m.reset_timing, m.reset_vs_leak) == ("same", "after")
        and m.reset in ("none", "zero", "subtract")
        and m.spike_levels == 1
        and m.word.overflow == "sat_step"
        and max(abs(m.theta).max(), abs(m.bias).max()) < EXACT // 2
        and readable
        and _decays(m)
    )


def _decays(m: Lif) -> bool:
    """Whether the leak is one rounded product, exact in float32."""
    if m.leak.kind == "shift_floor":
        return bool(m.word.bits + m.leak.amount.max() <= 24)
    return m.leak.kind == "none" or m.leak.kind in PRODUCTS


@dataclass(frozen=True)
class Plain:
    """A layer of plain neurons with its parameters for currents of one shape [batch, ...].

    ``keep``: what a step leaves of the membrane before rounding, a number or a tensor."""

    neuron: SpikingLayer
    theta: Any
    bias: Any
    keep: Any

    @staticmethod
    def of(neuron: SpikingLayer, shape: tuple[int, ...]) -> Plain:
        """For currents of ``shape``, batch included; parameters carry their gradients."""
        p = neuron.parameters_for(shape)
        return Plain(neuron, p["theta"], p["bias"], _keep(neuron.model, p["leak"]))

    def begin(self, shape: tuple[int, ...]) -> Any:
        """The membrane before the first step: codes of ``shape``, to be written to."""
        return self.neuron.begin(shape)["v"].clone()

    def run(self, currents: Any, v: Any, through_time: bool) -> Any:
        """Outputs [steps, batch, ...] of currents of that shape; leaves in ``v`` the membrane
        after the last step."""
        return _Steps.apply(currents, self.theta, self.bias, self, v, None, None, through_time)[0]

    def run_some(self, currents: Any, picks: list[int], given: Any, v: Any) -> tuple[Any, Any]:
        """The same for ``currents`` without gradients, of which ``given`` are the steps ``picks``
        with theirs: outputs of these, and of all steps. Spatial learning only."""
        return _Steps.apply(given, self.theta, self.bias, self, v, currents, picks, False)

    def forward(self, currents: Any, v: Any) -> tuple[Any, Any]:
        """Outputs, and membranes before their clamp, as codes."""
        m = self.neuron.model
        lost = max(0, m.input_frac - m.word.frac)
        u = scaled(currents * 2.0 ** (m.word.frac + lost), lost, m.rounding).add_(self.bias)
        out = torch.empty_like(u)
        theta = self.theta.expand(v.shape).contiguous()
        rest = torch.empty_like(v)
        for now, spikes in zip(u.unbind(0), out.unbind(0), strict=True):
            now.add_(self._decayed(v, rest))
            if m.output == "membrane":
                torch.clamp(now, m.word.lo, m.word.hi, out=v)
                torch.mul(v, self.neuron.gain, out=spikes)
                continue
            torch.clamp(now, m.word.lo, m.word.hi, out=rest)
            _compare(m.compare)(rest, theta, out=spikes)
            if m.reset == "none":
                v.copy_(rest)
            else:
                torch.addcmul(
                    rest, spikes, theta if m.reset == "subtract" else rest, value=-1, out=v
                )
        return out, u

    def derive(
        self, given: Any, u: Any, theta: bool, bias: bool, spikes: Any = None
    ) -> tuple[Any, Any, Any]:
        """Derivatives by the currents, the thresholds and the biases (None unless wanted), from
        those by the outputs and the membranes before their clamp, all [steps, batch, ...].
        ``spikes``: the outputs, if derivatives go through time."""
        m, neuron = self.neuron.model, self.neuron
        p = u.clamp(m.word.lo, m.word.hi)
        inside = None if torch.equal(p, u) else p == u
        if m.output == "membrane":
            grad, to_theta = given * neuron.gain, None
        else:
            unit = self.theta.detach().abs().clamp_min(1)
            p.sub_(self.theta.detach()).div_(unit)
            grad = neuron.shape.surrogate(p, neuron.shape.slope).mul_(given).div_(unit)
            to_theta = -grad.flatten(0, 1).sum_to_size(self.theta.shape) if theta else None
        if spikes is not None:
            reset = _back_through_time(self, grad, spikes, inside)
            if to_theta is not None and m.reset == "subtract":
                to_theta -= reset.sum_to_size(self.theta.shape)
        elif inside is not None:
            grad.mul_(inside)
        to_bias = grad.flatten(0, 1).sum_to_size(self.bias.shape) if bias else None
        return grad.mul_(2.0**m.word.frac), to_theta, to_bias

    def _decayed(self, v: Any, out: Any) -> Any:
        """``v`` after the leak, in ``out``."""
        kind = self.neuron.model.leak.kind
        if kind == "none":
            return v
        torch.mul(v, self.keep, out=out)
        if kind == "shift_floor":  # v - floor(v / 2**k)
            return out.ceil_()
        rounding = PRODUCTS[kind]
        if rounding == "floor":
            return out.floor_()
        return out.trunc_() if rounding == "trunc0" else out.round_()


def block(layer: Block, x: Any) -> Any:
    """Outputs of a block for inputs [batch, steps, ...], as its own ``forward``, with derivatives
    through time that are written out if its neurons are plain and reset without derivative."""
    neuron = layer.neuron
    own = layer.recurrent is None and neuron is not None and not neuron.shape.through_reset
    if not (own and is_plain(neuron)):
        return layer(x)
    x = x.transpose(0, 1)
    currents = layer.current(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    shape = tuple(currents.shape[1:])
    plain = Plain.of(neuron, shape)  # type: ignore[arg-type]
    return plain.run(currents, plain.begin(shape), through_time=True).transpose(0, 1)


def _keep(m: Lif, amount: Any) -> Any:
    if m.leak.kind == "none":
        return 1.0
    if m.leak.kind == "shift_floor":
        keep = 1 - torch.exp2(-amount)
    else:
        keep = amount * 2.0**-m.leak.frac
    return float(keep) if keep.numel() == 1 else keep


def _compare(kind: str) -> Any:
    return torch.ge if kind == "ge" else torch.gt


class _Steps(torch.autograd.Function):  # type: ignore[misc, name-defined]
    @staticmethod
    def forward(
        ctx: Any,
        given: Any,
        theta: Any,
        bias: Any,
        layer: Plain,
        v: Any,
        currents: Any,
        picks: list[int] | None,
        through_time: bool,
    ) -> tuple[Any, Any]:
        every, u = layer.forward(given if currents is None else currents, v)
        out = every if picks is None else every[picks]
        u = u if picks is None else u[picks]
        ctx.layer, ctx.through_time = layer, through_time
        ctx.save_for_backward(u, *([out] if through_time else []))
        if picks is None:
            return out, None
        ctx.mark_non_differentiable(every)
        return out, every

    @staticmethod
    def backward(ctx: Any, given: Any, _: Any) -> Any:
        u, *spikes = ctx.saved_tensors
        wants = ctx.needs_input_grad[1:3]
        return *ctx.layer.derive(given, u, *wants, *spikes), *[None] * 5


def _back_through_time(layer: Plain, grad: Any, spikes: Any, inside: Any) -> Any:
    """Adds to ``grad`` [steps, batch, ...] what each step's membrane does to later ones; returns
    what a threshold subtracted at each spike does to them, summed over steps and batch."""
    m, keep = layer.neuron.model, layer.keep
    rows = grad.unbind(0)
    kept = 1 - spikes if m.reset == "zero" else None
    for t in range(len(rows) - 1, -1, -1):
        if t + 1 < len(rows):
            later = rows[t + 1]
            if isinstance(keep, float) and kept is None:
                rows[t].add_(later, alpha=keep)
            else:
                rows[t].add_(later * keep if kept is None else later * keep * kept[t])
        if inside is not None:
            rows[t].mul_(inside[t])
    return (grad[1:] * keep * spikes[:-1]).flatten(0, 1) if m.reset == "subtract" else None
