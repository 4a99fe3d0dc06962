// The message φ(v_i ⊕ v_j ⊕ e_ij) ⊙ W⁰ e⁰_ij of (4) and (5) for a tile of bonds, and the backward pass.
#pragma once

#include "engine/model.hpp"

namespace tribond::INSTRUCTION_SET {

constexpr int ROWS_AT_ONCE = 24;  // go through all layers together, in the first-level cache

// A tile of bonds as an update sees it.
template <class T> struct Bonds {
    int count;
    const T* edges;                   // (count, edges) e_ij
    const T* basis;                   // (count, basis) e⁰_ij
    const T* slopes;                  // (count, basis) de⁰_ij/dr
    const T* const* centre_part;      // (count,) pointers to W₁ v_i + b, core and gate
    const T* const* neighbour_part;   // (count,) pointers to W₂ v_j
};

// What the backward pass through an update needs of every bond of a tile; that of ROWS_AT_ONCE bonds lies together, in the order
// in which it is read.
template <class T> struct Trace {
    const Update<T>& update;
    T* memory;
    bool far;  // beyond what caches hold, until it is needed

    static size_t numbers(const Update<T>& u) {  // for a bond
        size_t total = 3 * u.out;
        for (const Layer<T>& layer : u.layers) total += 2 * layer.in;
        return total;
    }

    // Of some bonds that go through all layers together.
    struct Rows {
        T* last;    // (rows, out): vector by vector the derivatives of the message by the last layers, core and gate, and r
        T* slopes;  // for each hidden layer, the last one first, (rows, 2 · width): g'(x)
    };

    Rows of(int start, int rows) const {
        T* first = memory + start * numbers(update);
        return {first, first + size_t(rows) * 3 * update.out};
    }

    void keep(T* place, Vec<T> value) const { far ? stream(place, value) : store(place, value); }
};

// Room for the bonds that go through all layers together.
template <class T> struct UpdateScratch {
    std::vector<Buffer<T>> hidden;             // for each hidden layer (ROWS_AT_ONCE, 2 · width)
    Buffer<T> core, gate;                      // (ROWS_AT_ONCE, out)

    void resize(const Update<T>& u) {
        hidden.resize(u.layers.size());
        for (size_t d = 0; d < u.layers.size(); ++d) hidden[d].resize(ROWS_AT_ONCE * 2 * u.layers[d].in);
        core.resize(ROWS_AT_ONCE * u.out), gate.resize(ROWS_AT_ONCE * u.out);
    }
};

// x ← g(x), and `keep` (i, g'(x)) for the vector from i on: g'(x) = s + g(x) (1 - s), s = σ(x). An even number of vectors.
template <class T, class Keep> inline void activate(size_t count, T* x, Keep keep) {
    constexpr int W = LANES<T>;
    for (size_t i = 0; i < count; i += 2 * W) {
        const Vec<T> value[2] = {load(x + i), load(x + i + W)};
        Vec<T> s[2];
        sigmoids<2>(value, s);
        for (int v = 0; v < 2; ++v) {
            const Vec<T> activated = value[v] * s[v];
            store(x + i + v * W, activated);
            keep(i + v * W, s[v] + activated * (T(1) - s[v]));
        }
    }
}

// after ← before + message, (count,) pointers to rows, which may be the same for several bonds. With KEEP, `trace` is filled
// for `update_backward`.
template <class T, bool KEEP>
void update_forward(const Update<T>& u, const Bonds<T>& bonds, UpdateScratch<T>& scratch, const Trace<T>* trace,
                    const T* const* before, T* const* after) {
    constexpr int W = LANES<T>;
    const int depth = int(u.layers.size()), out = u.out;
    for (int start = 0; start < bonds.count; start += ROWS_AT_ONCE) {
        const int rows = std::min(ROWS_AT_ONCE, bonds.count - start);
        typename Trace<T>::Rows kept{};
        T* end_of_slopes = nullptr;
        if constexpr (KEEP) {
            kept = trace->of(start, rows);
            end_of_slopes = kept.last + rows * Trace<T>::numbers(u);
        }
        const auto keep_slope = [&](int d) {
            if constexpr (KEEP) end_of_slopes -= size_t(rows) * 2 * u.layers[d].in;
            T* place = end_of_slopes;
            return [trace, place](size_t i, Vec<T> slope) {
                if constexpr (KEEP) trace->keep(place + i, slope);
            };
        };
        int width = 2 * u.first.hidden;
        T* x = scratch.hidden[0].begin();
        const From<T> parts{nullptr, bonds.centre_part + start, bonds.neighbour_part + start};
        const int edges = u.first.edge.rows;
        multiply<T, Start::two_rows>(rows, bonds.edges + size_t(start) * edges, edges, u.first.edge, x, width, parts);
        activate(size_t(rows) * width, x, keep_slope(0));
        for (int d = 0; d + 1 < depth; ++d) {
            const Layer<T>& layer = u.layers[d];
            const int next = 2 * layer.out;
            T* y = scratch.hidden[d + 1].begin();
            multiply<T, Start::bias>(rows, x, width, layer.core, y, next, {layer.core_bias.begin()});
            multiply<T, Start::bias>(rows, x + layer.in, width, layer.gate, y + layer.out, next, {layer.gate_bias.begin()});
            activate(size_t(rows) * next, y, keep_slope(d + 1));
            x = y, width = next;
        }
        const Layer<T>& last = u.layers[depth - 1];
        T *core = scratch.core.begin(), *gate = scratch.gate.begin();
        multiply<T, Start::bias>(rows, x, width, last.core, core, out, {last.core_bias.begin()});
        multiply<T, Start::bias>(rows, x + last.in, width, last.gate, gate, out, {last.gate_bias.begin()});
        for (int r = 0; r < rows; ++r) {
            const T* basis = bonds.basis + size_t(start + r) * u.basis;
            const T* slopes = bonds.slopes + size_t(start + r) * u.basis;
            for (int f = 0; f < out; f += W) {
                Vec<T> scale = load(u.scale_bias.begin() + f), by_r{};
                for (int b = 0; b < u.basis; ++b) {
                    const Vec<T> weight = load(u.scale.begin() + b * out + f);
                    scale += basis[b] * weight;
                    if constexpr (KEEP) by_r += slopes[b] * weight;
                }
                if (u.silu_scale) {
                    const Vec<T> s = sigmoid(scale);
                    scale *= s;
                    if constexpr (KEEP) by_r *= s + scale * (T(1) - s);
                }
                const Vec<T> x[2] = {load(core + r * out + f), load(gate + r * out + f)};
                Vec<T> both[2];
                sigmoids<2>(x, both);
                const Vec<T> s = both[0], share = both[1], activated = x[0] * s, product = activated * share;
                // Nothing below asks for product · scale: it must be rounded, or not, alike with KEEP and without.
                store(after[start + r] + f, load(before[start + r] + f) + product * scale);
                if constexpr (KEEP) {
                    T* place = kept.last + 3 * (size_t(r) * out + f);
                    trace->keep(place, scale * share * (s + activated * (T(1) - s)));
                    trace->keep(place + W, product * (scale * (T(1) - share)));
                    trace->keep(place + 2 * W, product * by_r);
                }
            }
        }
    }
}

// From the derivative by every message, (count,) pointers to rows, which may lie in d_edges: adds to d_edges, to the
// derivatives by the parts of both ends (count,) pointers, and to those by the lengths (count,).
template <class T>
void update_backward(const Update<T>& u, int count, const Trace<T>& trace, UpdateScratch<T>& scratch,
                     const T* const* d_message, T* d_edges, T* const* d_centre_part, T* const* d_neighbour_part, T* d_length) {
    constexpr int W = LANES<T>;
    const int depth = int(u.layers.size()), out = u.out, edges = u.first.edge.rows;
    const size_t numbers = Trace<T>::numbers(u);
    for (int start = 0; start < count; start += ROWS_AT_ONCE) {
        const int rows = std::min(ROWS_AT_ONCE, count - start);
        const typename Trace<T>::Rows kept = trace.of(start, rows);
        Ahead ahead;
        if (trace.far) ahead = {kept.last + rows * numbers, rows * numbers};
        T *core = scratch.core.begin(), *gate = scratch.gate.begin();
        for (int r = 0; r < rows; ++r) {
            const T* from = d_message[start + r];
            Vec<T> by_r{};
            for (int f = 0; f < out; f += W) {
                const Vec<T> d = load(from + f);
                const T* place = kept.last + 3 * (size_t(r) * out + f);
                store(core + r * out + f, d * load(place));
                store(gate + r * out + f, d * load(place + W));
                by_r += d * load(place + 2 * W);
            }
            d_length[start + r] += sum(by_r);
        }
        const T* slope = kept.slopes;
        int width = out;  // of core and gate, one beside the other from the second layer on
        for (int d = depth - 1; d >= 0; --d) {
            const Layer<T>& layer = u.layers[d];
            const int next = 2 * layer.in;
            T* x = scratch.hidden[d].begin();
            multiply<T, Start::zero>(rows, core, width, layer.core_back, x, next, {}, ahead);
            multiply<T, Start::zero>(rows, gate, width, layer.gate_back, x + layer.in, next, {}, ahead);
            for (int i = 0; i < rows * next; i += W) store(x + i, load(x + i) * load(slope + i));
            slope += rows * next;
            core = x, gate = x + layer.in, width = next;
        }
        const T* first = core;
        multiply<T, Start::output>(rows, first, width, u.first.edge_back, d_edges + size_t(start) * edges, edges, {}, ahead);
        for (int r = 0; r < rows; ++r)
            for (int f = 0; f < width; f += W) {
                const Vec<T> d = load(first + r * width + f);
                T *centre = d_centre_part[start + r] + f, *neighbour = d_neighbour_part[start + r] + f;
                store(centre, load(centre) + d);
                store(neighbour, load(neighbour) + d);
            }
    }
}

}  // namespace tribond::INSTRUCTION_SET
