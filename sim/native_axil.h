// AXI4-Lite of a design with run-time weights: silent inputs, writes and reads back.
#pragma once
#include <cstddef>
#include <cstdint>

namespace {

constexpr unsigned kPatience = 20000;  // cycles an answer may take: learning may still go on

// T: the verilated top. Ports are touched only where the design has them.
template <bool kPresent, class T> struct Axil {
    T& top;
    void (*edge)(T&);

    void silent() {
        if constexpr (kPresent) {
            top.s_axil_awaddr = 0, top.s_axil_awprot = 0, top.s_axil_awvalid = 0;
            top.s_axil_wdata = 0, top.s_axil_wstrb = 0, top.s_axil_wvalid = 0;
            top.s_axil_araddr = 0, top.s_axil_arprot = 0, top.s_axil_arvalid = 0;
            top.s_axil_bready = 0, top.s_axil_rready = 0;
        }
    }

    // Writes `count` pairs of (address, data), then reads every one; how many went wrong.
    uint64_t load(const uint32_t* pairs, std::size_t count) {
        uint64_t wrong = 0;
        if constexpr (kPresent) {
            for (std::size_t n = 0; n < count; ++n) wrong += !write(pairs[2 * n], pairs[2 * n + 1]);
            for (std::size_t n = 0; n < count; ++n) wrong += !reads(pairs[2 * n], pairs[2 * n + 1]);
        }
        return wrong;
    }

    // What stands at `count` addresses, into `words`; how many reads went wrong.
    uint64_t dump(const uint32_t* addresses, std::size_t count, uint32_t* words) {
        uint64_t wrong = 0;
        if constexpr (kPresent) {
            for (std::size_t n = 0; n < count; ++n) wrong += !read(addresses[n], words[n]);
        }
        return wrong;
    }

private:
    bool write(uint32_t address, uint32_t data) {
        top.s_axil_awaddr = address, top.s_axil_awvalid = 1;
        top.s_axil_wdata = data, top.s_axil_wstrb = 15, top.s_axil_wvalid = 1;
        top.s_axil_bready = 1;
        for (unsigned k = 0; k < kPatience; ++k) {
            top.eval();
            const bool address_taken = top.s_axil_awvalid && top.s_axil_awready;
            const bool data_taken = top.s_axil_wvalid && top.s_axil_wready;
            const bool answered = top.s_axil_bvalid, good = top.s_axil_bresp == 0;
            edge(top);
            if (address_taken) top.s_axil_awvalid = 0;
            if (data_taken) top.s_axil_wvalid = 0;
            if (answered) { top.s_axil_bready = 0; return good; }
        }
        return false;
    }
    bool reads(uint32_t address, uint32_t data) {
        uint32_t found = 0;
        return read(address, found) && found == data;
    }
    bool read(uint32_t address, uint32_t& data) {
        top.s_axil_araddr = address, top.s_axil_arvalid = 1, top.s_axil_rready = 1;
        for (unsigned k = 0; k < kPatience; ++k) {
            top.eval();
            const bool taken = top.s_axil_arvalid && top.s_axil_arready, answered = top.s_axil_rvalid;
            const bool good = top.s_axil_rresp == 0;
            if (answered) data = top.s_axil_rdata;
            edge(top);
            if (taken) top.s_axil_arvalid = 0;
            if (answered) { top.s_axil_rready = 0; return good; }
        }
        return false;
    }
};

}  // namespace
