"""Which input pixels a sliding window sees: plain arithmetic, for components and reference."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Geometry:
    """A window over a feature map; every pair is (vertical, horizontal).

    ``size``: input pixels (H, W); a one-dimensional value is a map of one row. ``pads``: pixels
    added (top, left, bottom, right). ``ValueError`` when there is no output pixel.
    """

    size: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        if min(*self.size, *self.kernel, *self.strides, *self.dilations) < 1:
            raise ValueError(f"sizes, kernel, strides and dilations start at 1, got {self}")
        if min(self.pads) < 0:
            raise ValueError(f"negative padding {self.pads}: slice the value first")
        if min(self.out_size) < 1:
            raise ValueError(
                f"a window of {self.reach[0] + 1} x {self.reach[1] + 1} does not fit into "
                f"{self.size[0]} x {self.size[1]} pixels with padding {self.pads}"
            )

    @property
    def reach(self) -> tuple[int, int]:
        """Distance between a window's first and last row, and column."""
        (kh, kw), (dy, dx) = self.kernel, self.dilations
        return (kh - 1) * dy, (kw - 1) * dx

    @property
    def out_size(self) -> tuple[int, int]:
        """Output pixels (OH, OW)."""
        top, left, bottom, right = self.pads
        (h, w), (ry, rx), (sy, sx) = self.size, self.reach, self.strides
        return (h + top + bottom - ry - 1) // sy + 1, (w + left + right - rx - 1) // sx + 1

    @property
    def pixels(self) -> int:
        """Output pixels in all."""
        return self.out_size[0] * self.out_size[1]

    @property
    def taps(self) -> int:
        """Pixels of a window."""
        return self.kernel[0] * self.kernel[1]

    @property
    def pointwise(self) -> bool:
        """Whether each output pixel is the same input pixel: no window is needed."""
        return self.kernel == (1, 1) == self.strides and not any(self.pads)

    @property
    def whole(self) -> bool:
        """Whether the only window is the whole map, each pixel once and in order."""
        return self.kernel == self.size and self.dilations == (1, 1) and not any(self.pads)

    def indices(self) -> np.ndarray:
        """int64 [OH, OW, kh, kw]: flat input pixel ``y * W + x`` of each tap, -1 in the padding."""
        (oh, ow), (kh, kw), (h, w) = self.out_size, self.kernel, self.size
        y = _line(oh, kh, self.strides[0], self.dilations[0], self.pads[0])
        x = _line(ow, kw, self.strides[1], self.dilations[1], self.pads[1])
        flat = y[:, None, :, None] * w + x[None, :, None, :]
        inside = ((y >= 0) & (y < h))[:, None, :, None] & ((x >= 0) & (x < w))[None, :, None, :]
        return np.where(inside, flat, -1).astype(np.int64)


def _line(outputs: int, kernel: int, stride: int, dilation: int, pad: int) -> np.ndarray:
    """int64 [outputs, kernel]: coordinate of each tap along one axis."""
    return np.arange(outputs)[:, None] * stride + np.arange(kernel)[None, :] * dilation - pad
