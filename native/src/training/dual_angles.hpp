// Three-body to bond, (2) and (3), in dual numbers, and the backward pass with the gradients of the weights: angles.hpp for
// training.
#pragma once

#include "engine/angles.hpp"
#include "training/dual.hpp"
#include "training/gradient.hpp"

namespace tribond::INSTRUCTION_SET {

// What (2) needs of every angle bond.
template <class T> struct DualAngleBases {
    Buffer<T> weight;    // (angles, 2, angular) f_c(r) R_ln(r)
    Buffer<T> envelope;  // (angles, 2) f_c(r)
    Buffer<T> y;         // (angles, 2, harmonics) Y_lm
};

template <class T> struct DualAngleScratch {
    Buffer<T> weighted, messages, back;  // (angles, 2, angular)
    Buffer<T> density;                   // (harmonics, 2, angular)
    Buffer<T> core, gate;                // (angles, 2, edges)

    void resize(const Model<T>& m, size_t angles) {
        for (Buffer<T>* it : {&weighted, &messages, &back}) it->resize(angles * 2 * m.angular);
        density.resize(m.max_l * m.max_l * 2 * m.angular);
        core.resize(angles * 2 * m.edges), gate.resize(angles * 2 * m.edges);
    }
};

template <class T> class DualAngles {
public:
    explicit DualAngles(const Model<T>& m) : poles_(m), angular_(m.angular), edges_(m.edges), harmonics_(poles_.harmonics) {}

    // (3): e_ij += g(W̃₂ ẽ_ij) ⊙ σ(W̃₁ ẽ_ij). `gates` (tile's angles,) points to σ(W_v v + b_v), (2, angular), of the
    // atom that gates; `edges` is (tile's bonds, 2, edges).
    void forward(const ThreeBody<T>& layer, const Graph& g, const Partition& p, const Tile& tile,
                 const DualAngleBases<T>& bases, const T* const* gates, DualAngleScratch<T>& s, T* edges) const {
        messages(layer, p, tile, bases, gates, s);
        for (int64_t a = 0; a < tile.angles(); ++a) {
            T* edge = edges + (g.angle[tile.first_angle + a] - tile.first_bond) * 2 * edges_;
            for (int f = 0; f < edges_; f += LANES<T>) {
                const int64_t at = a * 2 * edges_ + f;
                const Dual<T> c = load_dual(s.core.begin() + at, edges_), gate = load_dual(s.gate.begin() + at, edges_);
                add_dual(edge + f, edges_, c * sigmoid(c) * sigmoid(gate));
            }
        }
    }

    // From ∂e_ij: adds to `d_gates` (tile's angles,) pointers to (2, angular), and to the slot.
    void backward(const ThreeBody<T>& layer, const AnglePlaces& places, const Graph& g, const Partition& p, const Tile& tile,
                  const DualAngleBases<T>& bases, const T* const* gates, DualAngleScratch<T>& s, const T* d_edges,
                  T* const* d_gates, T* slot) const {
        messages(layer, p, tile, bases, gates, s);
        const int angles = int(tile.angles());
        for (int a = 0; a < angles; ++a) {
            const T* d_edge = d_edges + (g.angle[tile.first_angle + a] - tile.first_bond) * 2 * edges_;
            for (int f = 0; f < edges_; f += LANES<T>) {
                T *core = s.core.begin() + size_t(a) * 2 * edges_ + f, *gate = s.gate.begin() + size_t(a) * 2 * edges_ + f;
                const Dual<T> d = load_dual(d_edge + f, edges_), c = load_dual(core, edges_), t = sigmoid(c), activated = c * t;
                const Dual<T> share = sigmoid(load_dual(gate, edges_));
                store_dual(core, edges_, d * share * silu_slope(t, activated));
                store_dual(gate, edges_, d * activated * share * one_minus(share));
            }
        }
        const int used = layer.core.rows;
        outer(angles, s.messages.begin(), angular_, used, s.core.begin(), edges_, edges_, slot + places.core, edges_);
        outer(angles, s.messages.begin(), angular_, used, s.gate.begin(), edges_, edges_, slot + places.gate, edges_);
        multiply<T, Start::zero>(2 * angles, s.core.begin(), edges_, layer.core_back, s.back.begin(), angular_);
        multiply<T, Start::output>(2 * angles, s.gate.begin(), edges_, layer.gate_back, s.back.begin(), angular_);
        for (int64_t atom = tile.first_atom; atom < tile.last_atom; ++atom) {
            const int64_t first = p.angles_of[atom], last = p.angles_of[atom + 1];
            T* back = s.back.begin() + (first - tile.first_angle) * 2 * angular_;
            for (int64_t a = first; a < last; ++a)
                for (int f = 0; f < angular_; f += LANES<T>) {
                    T* d = back + (a - first) * 2 * angular_ + f;
                    store_dual(d, angular_, envelope(bases, a) * load_dual(d, angular_));
                }
            others(first, last, bases, back, s.density.begin());
            for (int64_t a = first; a < last; ++a)
                for (int f = 0; f < angular_; f += LANES<T>) {
                    const Dual<T> weight = load_dual(bases.weight.begin() + a * 2 * angular_ + f, angular_);
                    const Dual<T> d = load_dual(back + (a - first) * 2 * angular_ + f, angular_);
                    add_dual(d_gates[a - tile.first_angle] + f, angular_, weight * d);
                }
        }
    }

private:
    static Dual<T> envelope(const DualAngleBases<T>& bases, int64_t a) {
        return all_dual(bases.envelope[2 * a], bases.envelope[2 * a + 1]);
    }

    // Fills s: messages ẽ_ij, and the arguments of g and σ in core and gate.
    void messages(const ThreeBody<T>& layer, const Partition& p, const Tile& tile, const DualAngleBases<T>& bases,
                  const T* const* gates, DualAngleScratch<T>& s) const {
        for (int64_t atom = tile.first_atom; atom < tile.last_atom; ++atom) {
            const int64_t first = p.angles_of[atom], last = p.angles_of[atom + 1];
            T* messages = s.messages.begin() + (first - tile.first_angle) * 2 * angular_;
            for (int64_t a = first; a < last; ++a)
                for (int f = 0; f < angular_; f += LANES<T>) {
                    const Dual<T> weight = load_dual(bases.weight.begin() + a * 2 * angular_ + f, angular_);
                    const Dual<T> gate = load_dual(gates[a - tile.first_angle] + f, angular_);
                    store_dual(messages + (a - first) * 2 * angular_ + f, angular_, weight * gate);
                }
            others(first, last, bases, messages, s.density.begin());
            for (int64_t a = first; a < last; ++a)
                for (int f = 0; f < angular_; f += LANES<T>) {
                    T* message = messages + (a - first) * 2 * angular_ + f;
                    store_dual(message, angular_, envelope(bases, a) * load_dual(message, angular_));
                }
        }
        const int rows = 2 * int(tile.angles());
        multiply<T, Start::zero>(rows, s.messages.begin(), angular_, layer.core, s.core.begin(), edges_);
        multiply<T, Start::zero>(rows, s.messages.begin(), angular_, layer.gate, s.gate.begin(), edges_);
    }

    // x (angles of an atom, 2, angular) ← Σ Y_l0(θ) x of the other bonds, by way of their density. It is its own
    // transpose, so that it serves the backward pass as well.
    void others(int64_t first, int64_t last, const DualAngleBases<T>& bases, T* x, T* density) const {
        for (int f = 0; f < angular_; f += LANES<T>, x += LANES<T>, density += LANES<T>) {
            for (int lm = 0; lm < harmonics_; ++lm) {
                Dual<T> total{};
                for (int64_t a = first; a < last; ++a)
                    total = total + harmonic(bases, a, lm) * load_dual(x + (a - first) * 2 * angular_, angular_);
                store_dual(density + lm * 2 * angular_, angular_, load(poles_.mask.begin() + lm * angular_ + f) * total);
            }
            for (int64_t a = first; a < last; ++a) {
                T* own = x + (a - first) * 2 * angular_;
                Dual<T> total = -load(poles_.pole.begin() + f) * load_dual(own, angular_);
                for (int lm = 0; lm < harmonics_; ++lm)
                    total = total + harmonic(bases, a, lm) * load_dual(density + lm * 2 * angular_, angular_);
                store_dual(own, angular_, total);
            }
        }
    }

    Dual<T> harmonic(const DualAngleBases<T>& bases, int64_t a, int lm) const {
        const T* y = bases.y.begin() + a * 2 * harmonics_ + lm;
        return all_dual(y[0], y[harmonics_]);
    }

    const Poles<T> poles_;
    const int angular_, edges_, harmonics_;
};

}  // namespace tribond::INSTRUCTION_SET
