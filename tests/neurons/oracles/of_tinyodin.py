"""tinyODIN's ``lif_neuron.v`` itself (commit 18656534162a9de09b9954aea28fbfad7a7f8657) under
Verilator: in each step a time reference event, then a synaptic event. ``where``: its folder."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
from cases import Case

MAIN = """
#include "Vlif_neuron.h"
#include <cstdio>
#include <vector>
int main() {
    Vlif_neuron top;
    long n, c;
    if (scanf("%ld", &n) != 1) return 1;
    std::vector<long> leak(n), theta(n), v(n);
    for (auto &x : leak) scanf("%ld", &x);
    for (auto &x : theta) scanf("%ld", &x);
    for (;;) for (long i = 0; i < n; i++) {
        if (scanf("%ld", &c) != 1) return 0;
        int spikes = 0;
        for (int time_ref = 1; time_ref >= 0; time_ref--) {
            top.param_leak_str = leak[i], top.param_thr = theta[i], top.state_core = v[i] & 0xFFF;
            top.syn_weight = c & 0xF, top.syn_event = 1, top.time_ref = time_ref;
            top.eval();
            spikes += top.spike_out;
            v[i] = top.state_core_next >= 2048 ? top.state_core_next - 4096 : top.state_core_next;
        }
        printf("%d %ld ", spikes, v[i]);
    }
}
"""


def files(where: Path) -> list[Path]:
    """Sources that are simulated."""
    return [where / "lif_neuron.v"]


def run(case: Case, where: Path) -> dict[str, np.ndarray]:
    """All that comes out, int64 [steps, neurons] each."""
    p = case.parameters()
    codes = np.concatenate([[case.neurons], p["leak"], p["theta"], case.inputs().ravel()])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "main.cpp").write_text(MAIN)
        command = [
            "verilator-cli",
            "--cc",
            "--exe",
            "--build",
            "-Wno-fatal",
            "-Wno-lint",
            "-Wno-style",
        ]
        command += ["main.cpp", str(files(where)[0].resolve()), "--Mdir", "obj"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        text = " ".join(map(str, codes.tolist()))
        program = str(folder / "obj/Vlif_neuron")
        done = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
    found = np.array(done.stdout.split(), np.int64).reshape(case.steps, case.neurons, 2)
    return {"spikes": found[..., 0], "v": found[..., 1]}
