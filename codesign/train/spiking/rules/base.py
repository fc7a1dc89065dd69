"""What a learning rule is, and the loss it lowers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from codesign.train.needs import need
from codesign.train.spiking.network import SpikingNet
from codesign.train.spiking.readout import Readout


@dataclass(frozen=True)
class Objective:
    """Cross-entropy of a readout's scores, times ``gain`` over its unit."""

    readout: Readout
    gain: float = 1.0

    def logits(self, scores: Any, steps: int) -> Any:
        """Scores as the softmax takes them, [batch, classes]."""
        return scores * (self.gain / self.readout.unit(steps))

    def loss(self, scores: Any, labels: Any, steps: int) -> Any:
        """Mean over the batch; ``labels`` int64 [batch]."""
        return need("torch.nn").functional.cross_entropy(self.logits(scores, steps), labels)


class Rule(ABC):
    """A way to find out how weights should change."""

    @abstractmethod
    def gradients(self, net: SpikingNet, x: Any, y: Any, objective: Objective) -> float:
        """Adds to the ``.grad`` of the parameters of ``net`` what a batch says: inputs float32
        [batch, steps, ...], labels int64 [batch]. Returns its loss."""
