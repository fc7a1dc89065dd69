"""Energy models of a spiking network and of the quantized network it is compared with.

Counts are exact, of the verified frames; the energy of one operation or access is a published
figure of another technology. Nothing here is measured, and synthesis results stand apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from codesign.evidence import EnergyModel, EnergyTerm, SpikingLayer

#: pJ of a multiply-accumulate and of an addition (Horowitz, ISSCC 2014, 45 nm, 0.9 V).
OPERATIONS = {"float32": (4.6, 0.9), "float16": (1.5, 0.4), "int8": (0.23, 0.03)}
#: pJ of a bit read or written: 10 pJ for 64 bits of a memory of 8 kB (Horowitz, as above).
BIT = 10 / 64


def energy_models(layers: Sequence[SpikingLayer]) -> list[EnergyModel]:
    """A model for each type of number, of a frame (means of the verified frames).

    The quantized network has the same layers without time: each MAC once, no state. What is
    counted follows Yan et al., "Reconsidering the energy efficiency of spiking neural networks"
    (arXiv 2409.08290): operations and the accesses to memory that each causes.
    """
    return [_model(name, mac, add, layers) for name, (mac, add) in OPERATIONS.items()]


def _model(name: str, mac: float, add: float, layers: Sequence[SpikingLayer]) -> EnergyModel:
    terms = _terms(mac, add, layers)
    return EnergyModel(
        name=name,
        mac_pj=mac,
        add_pj=add,
        spiking_nj=sum(term.spiking_nj for term in terms),
        baseline_nj=sum(term.baseline_nj for term in terms),
        terms=terms,
    )


def _terms(mac: float, add: float, layers: Sequence[SpikingLayer]) -> list[EnergyTerm]:
    """An update of a neuron: leak and charge (a MAC), comparison and reset (an addition each); of
    the quantized one: to the scale of its output (a MAC). Each word of state is read and written
    in each step; each operation reads its weight."""
    fed = [x for x in layers if x.dense_operations]
    # a weight is added where a spike is one bit, and multiplied where it is a number
    added = sum(x.synaptic_operations for x in fed if x.spike_bits == 1)
    multiplied = sum(x.synaptic_operations for x in fed if x.spike_bits > 1)
    neurons, updates = sum(x.neurons for x in layers), sum(x.neurons * x.steps for x in layers)
    rows = [
        ("additions of weights", (added, add), (0, add)),
        (
            "MACs of weights",
            (multiplied, mac),
            (sum(x.dense_operations / x.steps for x in fed), mac),
        ),
        (
            "bits of weights read",
            (sum(x.synaptic_operations * x.weight_bits for x in fed), BIT),
            (sum(x.dense_operations / x.steps * x.weight_bits for x in fed), BIT),
        ),
        ("updates of neurons", (updates, mac + 2 * add), (neurons, mac)),
        (
            "bits of state read and written",
            (2 * sum(x.neurons * x.steps * x.state_bits for x in layers), BIT),
            (0, BIT),
        ),
    ]
    return [
        EnergyTerm(name=name, spiking=n, spiking_pj=pj, baseline=m, baseline_pj=other)
        for name, (n, pj), (m, other) in rows
    ]
