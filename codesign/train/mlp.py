"""Multi-layer perceptrons, in float32 and quantized by Brevitas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from codesign.errors import UsageError
from codesign.train.needs import need

#: Weights of at most so many bits get a constant scale (see ``MlpConfig.fixed_weight_scale``).
FEW_BITS = 3
#: Mean magnitude, in steps, that :func:`centre_weights` gives weights of few bits: ternary values
#: approximate normally distributed weights best with a threshold (half a step) of 0.7 times the
#: mean magnitude (Li et al., Ternary Weight Networks, section 2.2).
MEAN_STEPS = 0.5 / 0.7


@dataclass(frozen=True)
class MlpConfig:
    """Shape and precision of a network.

    ``sizes``: features, hidden layers, classes. ``scale``: ``power_of_two`` makes every scale a
    power of two, ``float`` learns any; ``per_channel``: one weight scale per output channel.
    """

    sizes: tuple[int, ...]
    weights: int = 4
    activations: int = 4
    input_bits: int = 4
    batch_norm: bool = False
    scale: str = "power_of_two"
    per_channel: bool = False

    def __post_init__(self) -> None:
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise UsageError(f"layer sizes must be positive, got {self.sizes}")
        for name in ("weights", "activations", "input_bits"):
            if not 1 <= getattr(self, name) <= 16:
                raise UsageError(f"{name} must be 1 to 16 bits, got {getattr(self, name)}")
        if self.weights == 1:
            raise UsageError("weights need at least 2 bits", hint="weights=2 is ternary (-1, 0, 1)")
        if self.activations == 1:
            raise UsageError(
                "activations need at least 2 bits",
                hint="Brevitas exports 1-bit activations of 0 and 1 as -1 and +1",
            )
        if self.scale not in ("power_of_two", "float"):
            raise UsageError(f"scale is power_of_two or float, got '{self.scale}'")

    @property
    def fixed_weight_scale(self) -> bool:
        """Whether the weight scale is a constant: with few levels a scale taken from the largest
        weight rounds most weights to zero, and batch norm makes any other scale redundant."""
        return self.batch_norm and self.weights <= FEW_BITS and self.scale == "power_of_two"


def float_mlp(config: MlpConfig) -> Any:
    """The same shape without quantizers."""
    nn = need("torch.nn")
    layers: list[Any] = []
    pairs = list(zip(config.sizes, config.sizes[1:], strict=False))
    for index, (fan_in, fan_out) in enumerate(pairs):
        last = index == len(pairs) - 1
        layers.append(nn.Linear(fan_in, fan_out, bias=last or not config.batch_norm))
        if not last:
            layers += [nn.BatchNorm1d(fan_out)] if config.batch_norm else []
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def quantized_mlp(config: MlpConfig) -> Any:
    """Input quantizer, then QuantLinear [, BatchNorm], QuantReLU ..., ending in float logits.

    Biases are quantized to the accumulator's own grid (32 bits), so that with power-of-two
    scales PyTorch's float32 sums are exact whatever their order.
    """
    nn, qnn = need("torch.nn"), need("brevitas.nn")
    weight, act, source, bias = _quantizers(config)
    pairs = list(zip(config.sizes, config.sizes[1:], strict=False))
    net = nn.Sequential()
    net.add_module(
        "inp",
        qnn.QuantIdentity(act_quant=source, bit_width=config.input_bits, return_quant_tensor=True),
    )
    for index, (fan_in, fan_out) in enumerate(pairs):
        last = index == len(pairs) - 1
        biased = last or not config.batch_norm
        net.add_module(
            f"fc{index}",
            qnn.QuantLinear(
                fan_in,
                fan_out,
                bias=biased,
                weight_quant=weight,
                weight_bit_width=config.weights,
                bias_quant=bias if biased else None,
            ),
        )
        if last:
            break
        if config.batch_norm:
            net.add_module(f"bn{index}", nn.BatchNorm1d(fan_out))
        net.add_module(
            f"act{index}",
            qnn.QuantReLU(act_quant=act, bit_width=config.activations, return_quant_tensor=True),
        )
    return net


def _quantizers(config: MlpConfig) -> tuple[Any, Any, Any, Any]:
    """Brevitas quantizers of weights, activations, the input and biases."""
    fixed, scaled = need("brevitas.quant.fixed_point"), need("brevitas.quant.scaled_int")
    if config.scale == "power_of_two":
        act, kind, family = fixed.Uint8ActPerTensorFixedPoint, "FixedPoint", fixed
    else:
        act, kind, family = scaled.Uint8ActPerTensorFloat, "Float", scaled
    grain = "PerChannel" if config.per_channel else "PerTensor"
    weight = getattr(family, f"Int8Weight{grain}{kind}")

    class InputQuant(fixed.Uint8ActPerTensorFixedPoint):  # type: ignore[misc, name-defined]
        """Inputs lie in 0..1: a constant scale of 2^-bits."""

        scaling_impl_type = "const"
        scaling_init = 1.0

    if config.fixed_weight_scale:
        # Levels -1/2, 0, 1/2 at two bits: step 2^-(bits - 1).
        weight = weight.let(scaling_impl_type="const", scaling_init=1.0)
    return weight, act, InputQuant, scaled.Int32Bias


def centre_weights(config: MlpConfig, net: Any) -> None:
    """Scale the float weights of ``net``, neuron by neuron, to the levels of a constant weight
    scale; the batch norm behind follows, so the float function stays the same."""
    torch, nn = need("torch"), need("torch.nn")
    step = 2.0 ** (1 - config.weights)
    kinds = (nn.Linear, nn.BatchNorm1d)
    layers = [m for m in net.modules() if isinstance(m, kinds)]
    with torch.no_grad():
        for index, layer in enumerate(layers):
            if not isinstance(layer, nn.Linear):
                continue
            norm = layers[index + 1] if index + 1 < len(layers) else None
            axes = 1 if norm is not None else (0, 1)
            size = layer.weight.abs().mean(axes, keepdim=True).clamp_min(1e-6)
            factor = MEAN_STEPS * step / size
            layer.weight *= factor
            if norm is not None:
                norm.running_mean *= factor[:, 0]
                norm.running_var *= factor[:, 0] ** 2


def copy_float_weights(float_net: Any, quantized_net: Any) -> None:
    """Start the quantized network from the trained float one (same shape)."""
    nn = need("torch.nn")
    kinds = (nn.Linear, nn.BatchNorm1d)
    sources = [m for m in float_net.modules() if isinstance(m, kinds)]
    targets = [m for m in quantized_net.modules() if isinstance(m, kinds)]
    for source, target in zip(sources, targets, strict=True):
        state = target.state_dict()
        state.update(source.state_dict())
        target.load_state_dict(state)


def with_argmax(net: Any) -> Any:
    """The network followed by ArgMax over the classes (int64 [batch, 1])."""
    torch = need("torch")

    class WithArgMax(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Any) -> Any:
            return torch.argmax(self.net(x), dim=-1, keepdim=True)

    return WithArgMax().eval()
