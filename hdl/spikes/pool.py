"""Pooling of events: how many spikes a window holds, or whether it holds any."""

from typing import Literal

import numpy as np

from codesign.hdl.spikes.conv import EventConv


class EventPool(EventConv):
    """Windows of ``window`` pixels every ``stride`` of maps ``size`` (H, W) of ``channels``.

    ``sum``: the spikes of each window, 0..pixels * levels (also what average pooling needs, its
    division being a scale); ``or``: 1 where there is any (spikes of one level). ``i``: events over
    H * W * channels; ``o``: beats of ``slice`` codes; :class:`SpikeScan` of as many levels makes
    events of them again. An event takes a cycle for each window that sees it, at least one.
    """

    def __init__(
        self,
        function: Literal["sum", "or"],
        *,
        channels: int,
        size: tuple[int, int],
        window: tuple[int, int],
        stride: tuple[int, int],
        steps: int,
        lanes: int,
        slice: int,
        levels: int = 1,
    ) -> None:
        if function not in ("sum", "or"):
            raise ValueError(f"events are pooled by 'sum' or by 'or', got '{function}'")
        if function == "or" and levels > 1:
            raise ValueError("'or' pools spikes of one level; use 'sum' for several")
        super().__init__(
            np.ones((*window, channels, 1), np.int64),
            size=size,
            steps=steps,
            lanes=lanes,
            slice=slice,
            stride=stride,
            depthwise=True,
            levels=levels,
            merge=function,
        )
