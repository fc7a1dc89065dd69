"""What of a model is computed outside of the circuit: on the host, before and after it."""

from codesign.host.model import HostModel
from codesign.host.steps import after_circuit, before_circuit, host_steps, input_steps

__all__ = ["HostModel", "after_circuit", "before_circuit", "host_steps", "input_steps"]
