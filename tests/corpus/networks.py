"""Random small networks over the supported operators, formats and layouts; a seed names one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx

from tests.cnn_models import Net

ROUNDINGS = ("ROUND", "ROUND", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN")


@dataclass(frozen=True)
class Tensor:
    """A quantized tensor of the file, channels first, without batch."""

    name: str
    shape: tuple[int, ...]
    bits: int
    scale: float
    signed: bool
    zero: int = 0

    @property
    def spatial(self) -> tuple[int, ...]:
        return self.shape[1:]


@dataclass(frozen=True)
class Style:
    """What the quantizers of one network have in common."""

    bits: int
    weight_bits: int
    power_of_two: bool
    per_channel: bool
    zero_point: bool
    rounding: str


class Author:
    """Writes one network, block by block, by drawing from a seeded generator."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.style = Style(
            bits=self.pick(2, 3, 4, 5),
            weight_bits=self.pick(1, 2, 3, 4, 5),
            power_of_two=self.chance(0.6),
            per_channel=self.chance(0.4),
            zero_point=self.chance(0.2),
            rounding=self.pick(*ROUNDINGS),
        )
        rank = self.pick(1, 2, 2, 3, 3, 3)
        shape = (self.upto(4, 18),) if rank == 1 else (self.upto(1, 4),) + tuple(
            self.upto(5, 9) for _ in range(rank - 1)
        )  # fmt: skip
        self.net = Net(shape, seed=seed)
        self.written: list[str] = []
        self.first = self.quant("x", shape)

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def pick(self, *options):
        return options[int(self.rng.integers(len(options)))]

    def upto(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    # pieces -------------------------------------------------------------------------------

    def scale(self, typical: float) -> float:
        exponent = 2.0 ** np.round(np.log2(typical) + self.rng.uniform(-0.7, 0.7))
        factor = 1.0 if self.style.power_of_two else self.rng.uniform(0.7, 1.4)
        return float(np.float32(exponent * factor))

    def quant(self, x: str, shape: tuple[int, ...], like: Tensor | None = None) -> Tensor:
        """A quantizer behind ``x``, of the format of ``like`` if given."""
        if like is None:
            signed = self.chance(0.5)
            bits = self.style.bits
            zero = self.upto(1, 3) if self.style.zero_point and not signed else 0
            like = Tensor(x, shape, bits, self.scale(2.5 / 2 ** (bits - 1)), signed, zero)
        name = self.net.quant(
            x, like.bits, like.scale, like.zero, signed=like.signed, rounding=self.style.rounding
        )
        return replace(like, name=name, shape=shape)

    def weights(self, *shape: int, transposed: bool = False) -> str:
        """Quantized weights; ``shape[0]`` are the output channels unless ``transposed``."""
        raw = self.net.const(self.rng.normal(0, 0.5, shape), "weight")
        bits, axis = self.style.weight_bits, 1 if transposed else 0
        sizes = [1] * len(shape)
        if self.style.per_channel:
            sizes[axis] = shape[axis]
        scale = np.array([self.scale(1.2 / 2 ** max(0, bits - 1)) for _ in range(np.prod(sizes))])
        scale = scale.reshape(sizes) if self.style.per_channel else scale[0]
        if bits == 1:
            from tests.cnn_models import DOMAIN

            factor = self.net.const(np.float32(scale))
            return str(self.net.node("BipolarQuant", raw, factor, domain=DOMAIN))
        return self.net.quant(raw, bits, scale, narrow=self.chance(0.5))

    def activation(self, x: str, channels: int, rank: int) -> str:
        """Batch norm and a function, or nothing."""
        if self.chance(0.3):
            x = self.net.batch_norm(x, channels)
        kind = self.pick("", "Relu", "Relu", "LeakyRelu", "Clip", "HardSigmoid", "PRelu", "Abs")
        if kind == "LeakyRelu":
            return str(self.net.node(kind, x, alpha=0.25))
        if kind == "Clip":
            low, high = self.net.const(np.float32(-1)), self.net.const(np.float32(1.5))
            return str(self.net.node(kind, x, low, high))
        if kind == "PRelu":
            slope = 2.0 ** self.rng.integers(-3, 0, (channels, *[1] * (rank - 1)))
            return str(self.net.node(kind, x, self.net.const(slope)))
        return str(self.net.node(kind, x)) if kind else x

    # blocks -------------------------------------------------------------------------------

    def conv(self, x: Tensor, keep: bool = False) -> Tensor:
        """A convolution; ``keep``: of the same spatial size."""
        channels, n = x.shape[0], len(x.spatial)
        group = channels if self.chance(0.25) else 1
        out = group * self.upto(1, 2) if group > 1 else self.upto(1, 5)
        kernel = [self.upto(1, min(3, s)) for s in x.spatial]
        stride = [1] * n if keep else [self.pick(1, 1, 2) for _ in range(n)]
        dilation = [self.pick(1, 1, 2) if k > 1 and s > 2 * k else 1
                    for k, s in zip(kernel, x.spatial, strict=True)]  # fmt: skip
        reach = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
        if keep:
            begin = [r // 2 for r in reach]
            end = [r - b for r, b in zip(reach, begin, strict=True)]
        else:
            begin = [self.upto(0, k - 1) for k in kernel]
            end = [self.upto(0, k - 1) for k in kernel]
        size = [(s + b + e - r - 1) // t + 1 for s, b, e, r, t
                in zip(x.spatial, begin, end, reach, stride, strict=True)]  # fmt: skip
        if min(size) < 1:
            return self.conv(x, keep=True)
        inputs = [x.name, self.weights(out, channels // group, *kernel)]
        if self.chance(0.4):
            inputs.append(self.net.const(np.round(self.rng.normal(0, 4, out)) / 8, "bias"))
        y = self.net.node("Conv", *inputs, kernel_shape=kernel, strides=stride, group=group,
                          dilations=dilation, pads=[*begin, *end])  # fmt: skip
        return self.quant(self.activation(y, out, n + 1), (out, *size))

    def transposed(self, x: Tensor) -> Tensor:
        """A transposed convolution."""
        channels, out, n = x.shape[0], self.upto(1, 4), len(x.spatial)
        kernel, stride = [self.upto(1, 3) for _ in range(n)], [self.upto(1, 2) for _ in range(n)]
        weights = self.weights(channels, out, *kernel, transposed=True)
        y = self.net.node("ConvTranspose", x.name, weights, kernel_shape=kernel, strides=stride)
        size = [(s - 1) * t + k for s, t, k in zip(x.spatial, stride, kernel, strict=True)]
        return self.quant(self.activation(y, out, n + 1), (out, *size))

    def pool(self, x: Tensor) -> Tensor:
        """Largest or mean of a window, or the mean of the whole map."""
        kind = self.pick("MaxPool", "MaxPool", "AveragePool", "GlobalAveragePool")
        if kind == "GlobalAveragePool":
            return self.quant(self.net.node(kind, x.name), (x.shape[0], *[1] * len(x.spatial)))
        kernel = [min(self.upto(1, 3), s) for s in x.spatial]
        stride = [self.upto(1, k) for k in kernel]
        pads = [self.upto(0, k - 1) if self.chance(0.3) else 0 for k in kernel] * 2
        if kind == "AveragePool":
            pads = [p // 2 for p in pads]
        size = [(s + 2 * p - k) // t + 1 for s, p, k, t
                in zip(x.spatial, pads, kernel, stride, strict=False)]  # fmt: skip
        extra = {"count_include_pad": self.upto(0, 1)} if kind == "AveragePool" else {}
        y = self.net.node(kind, x.name, kernel_shape=kernel, strides=stride, pads=pads, **extra)
        shape = (x.shape[0], *size)
        return replace(x, name=y, shape=shape) if kind == "MaxPool" else self.quant(y, shape)

    def residual(self, x: Tensor) -> Tensor:
        """A branch added to (or multiplied with) its input."""
        y = self.conv(x, keep=True) if x.spatial else self.dense(x, x.shape[0])
        while y.shape != x.shape:
            pointwise = self.weights(x.shape[0], y.shape[0], *[1] * len(x.spatial))
            y = self.quant(self.net.node("Conv", y.name, pointwise), x.shape)
        other = self.quant(y.name, y.shape, like=x) if self.chance(0.5) else y
        op = self.pick("Add", "Add", "Sub", "Mul")
        z = self.net.node(op, *((x.name, other.name) if self.chance(0.5) else (other.name, x.name)))
        z = self.net.node("Relu", z) if self.chance(0.5) else z
        return self.quant(z, x.shape)

    def branches(self, x: Tensor) -> Tensor:
        """Two or three branches side by side along the channels."""
        parts = [self.conv(x, keep=True) for _ in range(self.upto(1, 2))]
        parts = [self.quant(p.name, p.shape, like=x) for p in parts] + [x]
        y = self.net.node("Concat", *(p.name for p in parts), axis=1)
        return replace(x, name=y, shape=(sum(p.shape[0] for p in parts), *x.spatial))

    def move(self, x: Tensor) -> Tensor:
        """Slice, pad, upsample, or turn."""
        n = len(x.spatial)
        kind = self.pick("Slice", "Pad", "Resize", "Transpose", "Split")
        if kind == "Slice" and x.spatial[0] > 2:
            ends = [self.net.const(np.array([v], dtype=np.int64)) for v in (1, x.spatial[0], 2)]
            y = self.net.node("Slice", x.name, *ends)
            return replace(x, name=y, shape=(x.shape[0], x.spatial[0] - 1, *x.spatial[1:]))
        if kind == "Pad" and not x.zero:
            amounts = [self.upto(0, 2) for _ in range(2 * n)]
            full = np.array([0, 0, *amounts[:n], 0, 0, *amounts[n:]], dtype=np.int64)
            y = self.net.node("Pad", x.name, self.net.const(full), mode="constant")
            size = [s + a + b for s, a, b in zip(x.spatial, amounts, amounts[n:], strict=False)]
            return replace(x, name=y, shape=(x.shape[0], *size))
        if kind == "Resize" and max(x.spatial) < 8:
            scales = self.net.const(np.float32([1, 1, *[2] * n]))
            y = self.net.node("Resize", x.name, "", scales, mode="nearest",
                              coordinate_transformation_mode="asymmetric",
                              nearest_mode="floor")  # fmt: skip
            return replace(x, name=y, shape=(x.shape[0], *[2 * s for s in x.spatial]))
        if kind == "Transpose" and n == 2:
            y = self.net.node("Transpose", x.name, perm=[0, 1, 3, 2])
            return replace(x, name=y, shape=(x.shape[0], *x.spatial[::-1]))
        if kind == "Split" and x.shape[0] > 1:
            sizes = [1, x.shape[0] - 1]
            parts = self.net.node(
                "Split", x.name, self.net.const(np.array(sizes, np.int64)), outputs=2, axis=1
            )
            kept = [replace(x, name=p, shape=(s, *x.spatial))
                    for p, s in zip(parts, sizes, strict=True)]  # fmt: skip
            if self.chance(0.5):
                return kept[1]
            swapped = self.net.node("Concat", parts[1], parts[0], axis=1)
            return replace(x, name=swapped)
        return self.conv(x)

    def dense(self, x: Tensor, out: int = 0) -> Tensor:
        """A fully connected layer on the flattened value."""
        name, count = x.name, int(np.prod(x.shape))
        out = out or self.upto(2, 9)
        if x.spatial:
            name = self.net.node("Flatten", name)
        y = self.net.node("MatMul", name, self.weights(count, out, transposed=True))
        if self.chance(0.5):
            y = self.net.node("Add", y, self.net.const(np.round(self.rng.normal(0, 8, out)) / 16))
        return self.quant(self.activation(y, out, 1), (out,))

    def write(self) -> onnx.ModelProto:
        """The whole network."""
        x = self.first
        for _ in range(self.upto(2, 4)):
            names = ["dense", "residual"]
            if x.spatial and np.prod(x.shape) < 700:
                names = ["conv", "conv", "pool", "residual", "branches", "move", "transposed"]
            block = self.pick(*names)
            self.written.append(block)
            x = getattr(self, block)(x)
            if x.spatial and np.prod(x.shape) > 160 and self.chance(0.5):
                x = self.pool(x)
        if x.spatial and self.chance(0.5) and np.prod(x.shape) < 300:
            x = self.dense(x)
        if x.name == self.first.name or self.net.nodes[-1].op_type != "Quant":
            x = self.conv(x) if x.spatial else self.dense(x)
        return self.net.model(x.name)


def network(seed: int) -> onnx.ModelProto:
    """The network named ``seed``; the same one every time."""
    return Author(seed).write()
