"""Radiona ULX3S with the large FPGA: Lattice LFE5U-85F-6BG381C, 25 MHz oscillator.

Capacities are what nextpnr-ecp5 prints as available for the device (TRELLIS_COMB, TRELLIS_FF,
MULT18X18D, DP16KD).
"""

from codesign.manifest import BoardInfo
from codesign.schema import Cost

ALIASES = ("ulx3s",)

BOARD = BoardInfo(
    name="ulx3s_85f",
    family="ecp5",
    device="LFE5U-85F",
    package="CABGA381",
    speed="6",
    capacity=Cost(lut=83640, ff=83640, dsp=156, bram=208),
    clock_mhz=100.0,
    oscillator_mhz=25.0,
)
