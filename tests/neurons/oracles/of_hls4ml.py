"""hls4ml's kernels ``lif_neuron`` and ``if_neuron`` themselves, compiled with g++.

``where``: a folder with ``nnet_utils/nnet_snn.h`` and ``nnet_common.h`` of hls4ml's repository
(commit 17a4523ea5474157d9023923e351b4ef9dd07f54) and ``ap_types/`` of hls4ml 1.3.0.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
from cases import Case

#: The kernel keeps its membranes in a static of its own. Its type writes down what is assigned.
MAIN = """
#include "ap_fixed.h"
#include <cstdio>
#include <map>
#include <vector>
typedef ap_fixed<CASE_BITS, CASE_BITS - CASE_FRAC> base_t;
static std::map<const void *, long> seen;
struct spy : base_t {
    using base_t::base_t;
    spy() : base_t() {}
    spy(const spy &o) : base_t(o) {}
    spy &operator=(const spy &o) {
        base_t::operator=(o);
        base_t scaled = o;
        long code = 0;
        for (int b = 0; b < CASE_BITS; b++) code |= (long)(bool)scaled[b] << b;
        seen[this] = code >= 1L << (CASE_BITS - 1) ? code - (1L << CASE_BITS) : code;
        return *this;
    }
};
#include "nnet_utils/nnet_snn.h"
const unsigned N = CASE_NEURONS;
struct config : nnet::lif_neuron_config {
    static const unsigned n_in = N, n_out = N;
    static const bool beta_is_vector = true, threshold_is_vector = true;
    static const nnet::snn_reset_mode reset_mode = nnet::snn_reset_mode::CASE_RESET;
    typedef ap_ufixed<CASE_BETA_FRAC + 1, 1> beta_t;
    typedef base_t threshold_t;
    typedef spy membrane_t;
};
typedef ap_fixed<24, 24 - CASE_INPUT_FRAC> data_t;
template <class T> T code(long c) {
    T x;
    x.range(T::width - 1, 0) = c;
    return x;
}
int main() {
    static config::beta_t beta[N];
    static config::threshold_t theta[N];
    static data_t data[N];
    static ap_uint<1> res[N];
    long c;
    for (unsigned i = 0; i < N; i++) scanf("%ld", &c), beta[i] = code<config::beta_t>(c);
    for (unsigned i = 0; i < N; i++) scanf("%ld", &c), theta[i] = code<base_t>(c);
    for (;;) {
        for (unsigned i = 0; i < N; i++) {
            if (scanf("%ld", &c) != 1) return 0;
            data[i] = code<data_t>(c);
        }
        seen.clear();
        CASE_KERNEL
        // neurons' membranes are the N addresses in a row; a local that was assigned is not
        std::vector<std::pair<const char *, long>> all;
        for (auto &s : seen) all.push_back({(const char *)s.first, s.second});
        size_t first = 0;
        const long whole = (N - 1) * sizeof(spy);
        while (all[first + N - 1].first - all[first].first != whole) first++;
        for (unsigned i = 0; i < N; i++) printf("%d %ld ", (int)res[i], all[first + i].second);
    }
}
"""
KERNELS = {
    "lif": "nnet::lif_neuron<data_t, ap_uint<1>, config>(data, res, beta, theta);",
    "if": "nnet::if_neuron<data_t, ap_uint<1>, config>(data, res, theta);",
}


def files(where: Path) -> list[Path]:
    """Sources that are compiled."""
    return [where / "nnet_utils/nnet_snn.h"]


def run(case: Case, where: Path) -> dict[str, np.ndarray]:
    """All that comes out, int64 [steps, neurons] each."""
    p, given = case.parameters(), case.fixed
    defines = {
        "BITS": given["bits"], "FRAC": given["frac"], "BETA_FRAC": given["beta_frac"],
        "INPUT_FRAC": given["input_frac"], "NEURONS": case.neurons, "RESET": given["reset"],
        "KERNEL": KERNELS[str(given["kind"])],
    }  # fmt: skip
    codes = np.concatenate([p["beta"], p["theta"], case.inputs().ravel()])
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "main.cpp"), Path(folder, "main")
        source.write_text(MAIN)
        options = [f"-DCASE_{name}={value}" for name, value in defines.items()]
        folders = [f"-I{where}", f"-I{where}/ap_types", f"-I{where}/nnet_utils"]
        command = ["g++", "-O1", "-w", *options, *folders, str(source), "-o", str(program)]
        subprocess.run(command, check=True)
        text = " ".join(map(str, codes.tolist()))
        done = subprocess.run(
            [str(program)], input=text, capture_output=True, text=True, check=True
        )
    found = np.array(done.stdout.split(), np.int64).reshape(case.steps, case.neurons, 2)
    return {"spikes": found[..., 0], "v": found[..., 1]}
