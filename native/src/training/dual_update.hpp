// The message φ(v_i ⊕ v_j ⊕ e_ij) ⊙ W⁰ e⁰_ij of (4) and (5) for a tile of bonds in dual numbers, and the backward pass with
// the gradients of its weights: update.hpp for training.
#pragma once

#include "training/dual_mlp.hpp"

namespace tribond::INSTRUCTION_SET {

constexpr int DUALS_AT_ONCE = 24;  // bonds that go through all layers together, in the cache

// A tile of bonds as an update sees it.
template <class T> struct DualBonds {
    int count;
    const T* edges;                   // (count, 2, edges) e_ij
    const T* basis;                   // (count, 2, basis) e⁰_ij
    const T* const* centre_part;      // (count · 2,) pointers to W₁ v_i + b, core and gate
    const T* const* neighbour_part;   // (count · 2,) pointers to W₂ v_j
};

// Where the backward pass through an update begins and ends.
template <class T> struct DualEnds {
    const T* const* d_message;                 // (count,) pointers to (2, out), which may lie in d_edges
    T* d_edges;                                // (count, 2, edges), added to
    T *const *d_centre_part, *const *d_neighbour_part;  // (count,) pointers to (2, 2 · hidden), added to
};

template <class T> struct DualUpdate {
    DualMlp<T> phi;
    Buffer<T> scale;  // (DUALS_AT_ONCE, 2, out) derivatives by W⁰ e⁰_ij + b

    void resize(const Update<T>& u) {
        phi.resize(u.layers, DUALS_AT_ONCE);
        scale.resize(DUALS_AT_ONCE * 2 * u.out);
    }
};

// Up to the arguments of the last functions, for `rows` bonds from `start` on.
template <class T, bool KEEP>
void dual_layers(const Update<T>& u, const DualBonds<T>& bonds, int start, int rows, DualMlp<T>& phi) {
    const From<T> parts{nullptr, bonds.centre_part + 2 * start, bonds.neighbour_part + 2 * start};
    const int edges = u.first.edge.rows;
    const T* e = bonds.edges + size_t(start) * 2 * edges;
    multiply<T, Start::two_rows>(2 * rows, e, edges, u.first.edge, phi.x[0].begin(), 2 * u.first.hidden, parts);
    mlp_forward<T, KEEP>(u.layers, rows, phi);
}

// W⁰ e⁰_ij + b for a vector of columns.
template <class T> inline Dual<T> dual_scale(const Update<T>& u, const T* basis, int f) {
    Dual<T> scale{load(u.scale_bias.begin() + f), Vec<T>{}};
    for (int b = 0; b < u.basis; ++b) {
        const Vec<T> weight = load(u.scale.begin() + b * u.out + f);
        scale = scale + Dual<T>{basis[b] * weight, basis[u.basis + b] * weight};
    }
    return scale;
}

// message (count, 2, out) of every bond.
template <class T>
void dual_update_forward(const Update<T>& u, const DualBonds<T>& bonds, DualUpdate<T>& s, T* message) {
    const int out = u.out;
    for (int start = 0; start < bonds.count; start += DUALS_AT_ONCE) {
        const int rows = std::min(DUALS_AT_ONCE, bonds.count - start);
        dual_layers<T, false>(u, bonds, start, rows, s.phi);
        for (int r = 0; r < rows; ++r) {
            const T* basis = bonds.basis + size_t(start + r) * 2 * u.basis;
            for (int f = 0; f < out; f += LANES<T>) {
                const size_t at = size_t(r) * 2 * out + f;
                Dual<T> scale = dual_scale(u, basis, f);
                if (u.silu_scale) scale = scale * sigmoid(scale);
                const Dual<T> c = load_dual(s.phi.core.begin() + at, out), g = load_dual(s.phi.gate.begin() + at, out);
                store_dual(message + size_t(start) * 2 * out + at, out, c * sigmoid(c) * sigmoid(g) * scale);
            }
        }
    }
}

// There once more and back.
template <class T>
void dual_update_backward(const Update<T>& u, const UpdatePlaces& places, const DualBonds<T>& bonds, DualUpdate<T>& s,
                          const DualEnds<T>& ends, T* slot) {
    const int out = u.out, edges = u.first.edge.rows, width = 2 * u.first.hidden;
    for (int start = 0; start < bonds.count; start += DUALS_AT_ONCE) {
        const int rows = std::min(DUALS_AT_ONCE, bonds.count - start);
        dual_layers<T, true>(u, bonds, start, rows, s.phi);
        const T* first_basis = bonds.basis + size_t(start) * 2 * u.basis;
        for (int r = 0; r < rows; ++r)
            for (int f = 0; f < out; f += LANES<T>) {
                const size_t at = size_t(r) * 2 * out + f;
                T *core = s.phi.core.begin() + at, *gate = s.phi.gate.begin() + at;
                Dual<T> scale = dual_scale(u, first_basis + r * 2 * u.basis, f), by_scale{all(T(1)), Vec<T>{}};
                if (u.silu_scale) {
                    const Dual<T> t = sigmoid(scale);
                    scale = scale * t;
                    by_scale = silu_slope(t, scale);
                }
                const Dual<T> c = load_dual(core, out), t = sigmoid(c), activated = c * t;
                const Dual<T> share = sigmoid(load_dual(gate, out)), product = activated * share;
                const Dual<T> d = load_dual(ends.d_message[start + r] + f, out), scaled = d * scale;
                store_dual(core, out, scaled * share * silu_slope(t, activated));
                store_dual(gate, out, scaled * product * one_minus(share));
                store_dual(s.scale.begin() + at, out, d * product * by_scale);
            }
        outer(rows, first_basis, u.basis, u.basis, s.scale.begin(), out, out, slot + places.scale, out);
        add_changes(rows, s.scale.begin(), out, out, slot + places.scale_bias);
        mlp_backward(u.layers, places.phi, rows, s.phi, slot);
        const T *first = s.phi.x[0].begin(), *e = bonds.edges + size_t(start) * 2 * edges;
        outer(rows, e, edges, edges, first, width, width, slot + places.phi.edge, width);
        T* d_edges = ends.d_edges + size_t(start) * 2 * edges;
        multiply<T, Start::output>(2 * rows, first, width, u.first.edge_back, d_edges, edges);
        for (int r = 0; r < rows; ++r, first += 2 * width) {
            T *centre = ends.d_centre_part[start + r], *neighbour = ends.d_neighbour_part[start + r];
            for (int f = 0; f < 2 * width; f += LANES<T>) {
                const Vec<T> d = load(first + f);
                store(centre + f, load(centre + f) + d);
                store(neighbour + f, load(neighbour + f) + d);
            }
        }
    }
}

}  // namespace tribond::INSTRUCTION_SET
