// Parts of the native harness: wires as words, vector files, findings, checkers, random stalls.
#pragma once
#include "verilated.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <type_traits>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

enum Kind : int { kCode, kLast, kExtra, kDropped, kChanged, kMissing };

// ---- wires as 32-bit words -------------------------------------------------------------------
template <std::size_t N>
inline uint32_t word(const VlWide<N>& wire, unsigned w) { return wire[w]; }
template <typename T, typename = std::enable_if_t<std::is_integral_v<T>>>
inline uint32_t word(T wire, unsigned w) {
    return w > 1 ? 0u : static_cast<uint32_t>(static_cast<uint64_t>(wire) >> (32 * w));
}
template <std::size_t N>
inline void store(VlWide<N>& wire, const uint32_t* words) { std::memcpy(&wire[0], words, 4 * N); }
template <typename T, typename = std::enable_if_t<std::is_integral_v<T>>>
inline void store(T& wire, const uint32_t* words) {
    uint64_t value = words[0];
    if (sizeof(T) == 8) value |= static_cast<uint64_t>(words[1]) << 32;
    wire = static_cast<T>(value);
}

struct File {
    const uint32_t* words = nullptr;
    std::size_t count = 0;  // words in it
    // `per` words an entry, as many entries as there are.
    static File entries(const std::string& path, std::size_t per) {
        struct stat info{};
        if (::stat(path.c_str(), &info) || info.st_size % (4 * per)) {
            std::fprintf(stderr, "error: %s: missing or not entries of %zu words\n", path.c_str(), per);
            std::exit(2);
        }
        return File(path, info.st_size / 4);
    }
    explicit File(const std::string& path, std::size_t need) : count(need) {
        const int fd = ::open(path.c_str(), O_RDONLY);
        struct stat info{};
        if (fd < 0 || ::fstat(fd, &info) || static_cast<std::size_t>(info.st_size) != need * 4) {
            std::fprintf(stderr, "error: %s: missing or not %zu words\n", path.c_str(), need);
            std::exit(2);
        }
        if (need) {
            void* map = ::mmap(nullptr, need * 4, PROT_READ, MAP_PRIVATE, fd, 0);
            if (map == MAP_FAILED) { std::perror(path.c_str()); std::exit(2); }
            words = static_cast<const uint32_t*>(map);
        }
        ::close(fd);
    }
};

// ---- the first difference --------------------------------------------------------------------
struct First {
    bool set = false;
    uint64_t frame = 0;
    int tensor = 0;
    uint64_t index = 0;
    long long expected = 0, actual = 0;
    int kind = kCode;
    bool before(const First& o) const {
        if (!set || !o.set) return set;
        if (frame != o.frame) return frame < o.frame;
        return tensor != o.tensor ? tensor < o.tensor : index < o.index;
    }
};

struct Findings {
    First first;
    uint64_t count = 0;
    void add(const First& f) {
        ++count;
        if (f.before(first)) first = f;
    }
};

inline long long code_of(const uint32_t* words, unsigned offset, unsigned bits, bool is_signed) {
    uint64_t value = 0;
    for (unsigned got = 0; got < bits;) {
        const unsigned bit = offset + got, shift = bit % 32;
        value |= (static_cast<uint64_t>(words[bit / 32]) >> shift) << got;
        got += 32 - shift;
    }
    if (bits == 64) return static_cast<long long>(value);
    value &= (uint64_t{1} << bits) - 1;
    const uint64_t sign = uint64_t{1} << (bits - 1);
    return static_cast<long long>(is_signed && (value & sign) ? value - 2 * sign : value);
}

// ---- compares the beats of one stream with what is expected ------------------------------------
// S: constants of the stream (design.h). kPayloadLast: `last` is the bit above the data.
template <class S, bool kPayloadLast> class Checker {
public:
    void start(const uint32_t* words, uint64_t first_frame, uint64_t frames) {
        next_ = words + first_frame * S::beats * S::words;
        frame0_ = first_frame;
        left_ = frames * S::beats;
        frame_ = first_frame;
        for (int final = 0; final < 2; ++final) {
            const unsigned full = S::lanes * S::bits;
            const unsigned used = (S::elements - (S::beats - 1) * S::lanes) * S::bits;
            for (unsigned w = 0; w < S::words; ++w) mask_[final][w] = 0;
            for (unsigned b = 0; b < (final ? used : full); ++b) mask_[final][b / 32] |= 1u << (b % 32);
            if (kPayloadLast) mask_[final][full / 32] |= 1u << (full % 32);
        }
    }
    // A log: `entries` of one beat each must have come by the end.
    void finish(Findings& findings) const {
        if (left_) findings.add({true, frame_, S::tensor, 0, 0, 0, kMissing});
    }
    bool done() const { return left_ == 0; }
    bool final_beat() const { return beat_ == S::beats - 1; }
    uint64_t frame() const { return frame_; }
    uint64_t frames_done() const { return frame_ - frame0_; }
    unsigned beat() const { return beat_; }

    // One transfer.
    template <class P> inline void see(const P& payload, Findings& findings) {
        if (__builtin_expect(left_ == 0, 0)) {
            extra(payload, findings);
            return;
        }
        const uint32_t* mask = mask_[final_beat()];
        if (__builtin_expect(record_ != nullptr, 0)) keep(payload);
        uint32_t difference = 0;
        for (unsigned w = 0; w < S::words; ++w) difference |= (word(payload, w) ^ next_[w]) & mask[w];
        if (__builtin_expect(difference != 0, 0)) report(payload, findings);
        next_ += S::words;
        --left_;
        if (++beat_ == S::beats) { beat_ = 0; ++frame_; }
    }
    // Write what passes in the first frame to `path`, as packed as what is expected.
    void record(const std::string& path) {
        record_ = std::fopen(path.c_str(), "wb");
        if (!record_) { std::perror(path.c_str()); std::exit(2); }
    }
    void fault(Kind kind, Findings& findings, long long expected = 0, long long actual = 0) const {
        const uint64_t end = std::min<uint64_t>((beat_ + 1) * uint64_t{S::lanes}, S::elements);
        const uint64_t index = kind == kLast ? end - 1 : beat_ * uint64_t{S::lanes};
        findings.add({true, frame_, S::tensor, index, expected, actual, kind});
    }

private:
    template <class P> __attribute__((noinline)) void keep(const P& payload) {
        for (unsigned w = 0; w < S::words; ++w) {
            const uint32_t value = word(payload, w);
            std::fwrite(&value, sizeof value, 1, record_);
        }
        if (!final_beat()) return;
        std::fclose(record_);
        record_ = nullptr;
    }
    // A transfer after the last frame. Loops may start further ones: as every frame starts, or,
    // where they go on, with what the last frame left, which no frame is there to say.
    template <class P> __attribute__((noinline)) void extra(const P& payload, Findings& findings) {
        const uint32_t* begin = next_ - S::beats * S::words;
        bool allowed = begun_ + 1 < S::ahead * uint64_t{S::beats};
        for (unsigned w = 0; S::alike && allowed && w < S::words; ++w)
            allowed = ((word(payload, w) ^ begin[w]) & mask_[final_beat()][w]) == 0;
        if (!allowed) {
            findings.add({true, frame_, S::tensor, 0, 0, 0, kExtra});
            return;
        }
        ++begun_;
        next_ += S::words;
        if (++beat_ == S::beats) { beat_ = 0; next_ -= S::beats * S::words; }
    }
    template <class P> __attribute__((noinline)) void report(const P& payload, Findings& findings) {
        uint32_t actual[S::words];
        for (unsigned w = 0; w < S::words; ++w) actual[w] = word(payload, w);
        for (unsigned lane = 0; lane < S::lanes; ++lane) {
            const uint64_t index = beat_ * uint64_t{S::lanes} + lane;
            if (index >= S::elements) break;
            const long long want = code_of(next_, lane * S::bits, S::bits, S::is_signed);
            const long long got = code_of(actual, lane * S::bits, S::bits, S::is_signed);
            if (want != got) findings.add({true, frame_, S::tensor, index, want, got, kCode});
        }
        if (kPayloadLast) {
            const unsigned bit = S::lanes * S::bits;
            const int got = (actual[bit / 32] >> (bit % 32)) & 1;
            if (got != final_beat()) fault(kLast, findings, final_beat(), got);
        }
    }
    const uint32_t* next_ = nullptr;
    uint64_t left_ = 0, frame_ = 0, frame0_ = 0;
    uint64_t begun_ = 0;  // beats after the last frame
    unsigned beat_ = 0;
    std::FILE* record_ = nullptr;
    uint32_t mask_[2][S::words];
};

// ---- compares a stream of address events with the codes they carry -----------------------------
// The events of a step are added up, in whatever order they come. S: constants (design.h).
template <class S> class EventChecker {
public:
    void start(const uint32_t* codes, uint64_t first_frame, uint64_t frames) {
        next_ = codes + first_frame * S::elements;
        frame0_ = frame_ = first_frame;
        left_ = frames * S::steps;
    }
    uint64_t frames_done() const { return frame_ - frame0_; }

    template <class P> inline void see(const P& payload, Findings& findings) {
        if (__builtin_expect(left_ == 0, 0)) {
            findings.add({true, frame_, S::tensor, 0, 0, 0, kExtra});
            return;
        }
        uint32_t words[S::words];
        for (unsigned w = 0; w < S::words; ++w) words[w] = word(payload, w);
        constexpr unsigned mark = S::address_bits + S::count_bits;
        if (code_of(words, mark, 1, false)) { end_step(code_of(words, mark + 1, 1, false), findings); return; }
        const uint64_t address = code_of(words, 0, S::address_bits, false);
        const uint32_t count = S::count_bits ? code_of(words, S::address_bits, S::count_bits ? S::count_bits : 1, false) : 1;
        if (address < kStep) sums_[address] += count;
        else findings.add({true, frame_, S::tensor, step_ * uint64_t{kStep}, 0, static_cast<long long>(address), kCode});
    }
    // Write what the events of the first frame add up to to `path`, a word each.
    void record(const std::string& path) {
        record_ = std::fopen(path.c_str(), "wb");
        if (!record_) { std::perror(path.c_str()); std::exit(2); }
    }

private:
    static constexpr unsigned kStep = S::elements / S::steps;
    void end_step(bool last, Findings& findings) {
        const uint64_t base = step_ * uint64_t{kStep};
        for (unsigned k = 0; k < kStep; ++k)
            if (sums_[k] != next_[k]) findings.add({true, frame_, S::tensor, base + k, next_[k], sums_[k], kCode});
        const bool final = step_ == S::steps - 1;
        if (last != final) findings.add({true, frame_, S::tensor, base + kStep - 1, final, last, kLast});
        if (record_ != nullptr) {
            std::fwrite(sums_, sizeof(uint32_t), kStep, record_);
            if (final) { std::fclose(record_); record_ = nullptr; }
        }
        std::memset(sums_, 0, sizeof sums_);
        next_ += kStep;
        --left_;
        if (++step_ == S::steps) { step_ = 0; ++frame_; }
    }
    const uint32_t* next_ = nullptr;
    uint64_t left_ = 0, frame_ = 0, frame0_ = 0;
    unsigned step_ = 0;
    std::FILE* record_ = nullptr;
    uint32_t sums_[kStep] = {};
};

// ---- random stalls -----------------------------------------------------------------------------
// Segments of random length; in each, source and sink idle with a probability of 0, 1/4 ... 1.
class Stalls {
public:
    explicit Stalls(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 0x1234567ull) {
        if (!state_) state_ = 1;
    }
    void step() {
        const uint64_t r = next();
        if (left_-- == 0) {
            left_ = (r >> 40) & 63;
            source_ = level(r >> 32);
            sink_ = level(r >> 36);
        }
        offer = (r & 0xff) >= source_;
        ready = ((r >> 8) & 0xff) >= sink_;
    }
    bool offer = true, ready = true;

private:
    static unsigned level(uint64_t r) {
        static const unsigned levels[8] = {0, 0, 64, 128, 128, 192, 230, 256};
        return levels[r & 7];
    }
    uint64_t next() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return state_ * 0x2545F4914F6CDD1Dull >> 8;
    }
    uint64_t state_;
    unsigned left_ = 0, source_ = 0, sink_ = 0;
};

}  // namespace
