"""Radiona ULX3S with the small FPGA: Lattice LFE5U-25F-6BG381C, 25 MHz oscillator.

Capacities are what nextpnr-ecp5 prints as available for the device (TRELLIS_COMB, TRELLIS_FF,
MULT18X18D, DP16KD).
"""

from codesign.manifest import BoardInfo
from codesign.schema import Cost

BOARD = BoardInfo(
    name="ulx3s_25f",
    family="ecp5",
    device="LFE5U-25F",
    package="CABGA381",
    speed="6",
    capacity=Cost(lut=24288, ff=24288, dsp=28, bram=56),
    clock_mhz=100.0,
    oscillator_mhz=25.0,
)
