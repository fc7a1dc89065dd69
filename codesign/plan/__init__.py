"""Planning: which nodes become circuit layers, and how many multipliers each one gets."""

from codesign.plan.folding import Goal, plan_design
from codesign.plan.partition import Circuit, Layer, partition

__all__ = ["Circuit", "Goal", "Layer", "partition", "plan_design"]
