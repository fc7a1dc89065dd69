"""NIR, the exchange format of neuromorphic tools: files and graphs in, graphs out.

NIR says what neurons do in continuous time and with real numbers. What it leaves open (dt, the
discretisation, how and when a neuron resets, every format) a :class:`NirPolicy` must say.
"""

from codesign.frontend.nir.convert import import_nir
from codesign.frontend.nir.export import Exported, export_nir
from codesign.frontend.nir.policy import NirPolicy, describe_presets, template
from codesign.frontend.nir.read import read_nir

__all__ = [
    "Exported",
    "NirPolicy",
    "describe_presets",
    "export_nir",
    "import_nir",
    "read_nir",
    "template",
]
