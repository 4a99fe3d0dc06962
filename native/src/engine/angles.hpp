// Three-body to bond, (2) and (3), for the angle bonds of a tile, and the backward pass: the density of an atom is a matrix
// (l,m) × (l,n), of which only equal l count, built in one pass over the bonds of the atom and read back in a second.
#pragma once

#include "engine/graph.hpp"
#include "engine/model.hpp"

namespace tribond::INSTRUCTION_SET {

// What (2) needs of every angle bond.
template <class T> struct AngleBases {
    int harmonics = 0;     // max_l²
    Buffer<T> weight;      // (angles, angular) f_c(r) R_ln(r)
    Buffer<T> slope;       // (angles, angular) its derivative by r
    Buffer<T> envelope;    // (angles, 2) f_c(r) and its derivative
    Buffer<T> y;           // (angles, harmonics) Y_lm
    Buffer<T> d_y;         // (angles, harmonics) derivative of the energy by Y_lm, added up
};

template <class T> struct AngleScratch {
    Buffer<T> weighted, bare, messages;   // (angles, angular)
    Buffer<T> density, back;              // (atoms, harmonics, angular), masked, over Y_l0(0); (harmonics, angular)
    Buffer<T> core, gate;                 // (angles, edges)

    void resize(const Model<T>& m, size_t atoms, size_t angles) {
        for (Buffer<T>* it : {&weighted, &bare, &messages}) it->resize(angles * m.angular);
        density.resize(atoms * m.max_l * m.max_l * m.angular), back.resize(m.max_l * m.max_l * m.angular);
        core.resize(angles * m.edges), gate.resize(angles * m.edges);
    }
};

// Y_l0(0), (angular,), and where l is the same 1 / Y_l0(0), else 0, (harmonics, angular).
template <class T> struct Poles {
    const int angular, edges, harmonics;
    Buffer<T> pole, mask;

    explicit Poles(const Model<T>& m) : angular(m.angular), edges(m.edges), harmonics(m.max_l * m.max_l) {
        pole.resize(angular), mask.resize(size_t(harmonics) * angular);
        std::fill(mask.begin(), mask.end(), T(0));
        std::fill(pole.begin(), pole.end(), T(0));
        for (int l = 0; l < m.max_l; ++l) {
            const double value = std::sqrt((2 * l + 1) / (4 * M_PI));
            for (int n = 0; n < m.max_n; ++n) {
                pole[l * m.max_n + n] = T(value);
                for (int lm = l * l; lm < (l + 1) * (l + 1); ++lm) mask[lm * angular + l * m.max_n + n] = T(1 / value);
            }
        }
    }
};

template <class T> class Angles {
public:
    explicit Angles(const Model<T>& m) : poles_(m), angular_(m.angular), edges_(m.edges), harmonics_(poles_.harmonics) {}

    // (3): e_ij += g(W̃₂ ẽ_ij) ⊙ σ(W̃₁ ẽ_ij). `gates` (tile's angles,) points to σ(W_v v + b_v) of the atom that gates.
    void forward(const ThreeBody<T>& layer, const Graph& g, const Partition& p, const Tile& tile,
                 const AngleBases<T>& bases, const T* const* gates, AngleScratch<T>& s, T* edges) const {
        messages(layer, p, tile, bases, gates, s);
        for (int64_t a = 0; a < tile.angles(); ++a)
            activate_angle<true, false>(s, a, edges + (g.angle[tile.first_angle + a] - tile.first_bond) * edges_);
    }

    // The same, and what `backward` needs.
    void forward_for_backward(const ThreeBody<T>& layer, const Graph& g, const Partition& p, const Tile& tile,
                              const AngleBases<T>& bases, const T* const* gates, AngleScratch<T>& s, T* edges) const {
        messages(layer, p, tile, bases, gates, s);
        for (int64_t a = 0; a < tile.angles(); ++a)
            activate_angle<true, true>(s, a, edges + (g.angle[tile.first_angle + a] - tile.first_bond) * edges_);
    }

    // What `backward` needs alone.
    void again(const ThreeBody<T>& layer, const Partition& p, const Tile& tile, const AngleBases<T>& bases,
               const T* const* gates, AngleScratch<T>& s) const {
        messages(layer, p, tile, bases, gates, s);
        for (int64_t a = 0; a < tile.angles(); ++a) activate_angle<false, true>(s, a, nullptr);
    }

    // From ∂e_ij, after one of the two above: adds to bases.d_y, to `d_length` of the tile's bonds, and to `d_gates` (tile's
    // angles,) rows.
    void backward(const ThreeBody<T>& layer, const Graph& g, const Partition& p, const Tile& tile,
                  AngleBases<T>& bases, const T* const* gates, AngleScratch<T>& s, const T* d_edges,
                  T* const* d_gates, T* d_length) const {
        constexpr int W = LANES<T>;
        const int angles = int(tile.angles());
        for (int a = 0; a < angles; ++a) {
            const T* d_edge = d_edges + (g.angle[tile.first_angle + a] - tile.first_bond) * edges_;
            T *core = s.core.begin() + size_t(a) * edges_, *gate = s.gate.begin() + size_t(a) * edges_;
            for (int f = 0; f < edges_; f += W) {
                const Vec<T> d = load(d_edge + f);
                store(core + f, d * load(core + f));
                store(gate + f, d * load(gate + f));
            }
        }
        T* d_bare = s.messages.begin();
        multiply<T, Start::zero>(angles, s.core.begin(), edges_, layer.core_back, d_bare, angular_);
        multiply<T, Start::output>(angles, s.gate.begin(), edges_, layer.gate_back, d_bare, angular_);
        for (int a = 0; a < angles; ++a) {
            const T* fc = bases.envelope.begin() + 2 * (tile.first_angle + a);
            Vec<T> by_envelope{};
            for (int f = 0; f < angular_; f += W) {
                T* d = d_bare + size_t(a) * angular_ + f;
                by_envelope += load(d) * load(s.bare.begin() + size_t(a) * angular_ + f);
                store(d, fc[0] * load(d));
            }
            d_length[g.angle[tile.first_angle + a] - tile.first_bond] += fc[1] * sum(by_envelope);
        }
        for (int64_t atom = tile.first_atom; atom < tile.last_atom; ++atom)
            back_through_density(g, p, tile, atom, bases, gates, s, d_gates, d_length);
    }

private:
    // g(x) σ(y) of the arguments in s.core and s.gate: with ADD added to `edge`, with KEEP its derivatives left in their place.
    template <bool ADD, bool KEEP> void activate_angle(AngleScratch<T>& s, int64_t a, T* edge) const {
        T *core = s.core.begin() + a * edges_, *gate = s.gate.begin() + a * edges_;
        for (int f = 0; f < edges_; f += LANES<T>) {
            const Vec<T> x[2] = {load(core + f), load(gate + f)};
            Vec<T> both[2];
            sigmoids<2>(x, both);
            const Vec<T> t = both[0], share = both[1], activated = x[0] * t, product = activated * share;
            if constexpr (ADD) store(edge + f, load(edge + f) + product);
            if constexpr (KEEP) {
                store(core + f, share * (t + activated * (T(1) - t)));
                store(gate + f, product * (T(1) - share));
            }
        }
    }

    // Fills s: weighted, density, bare, messages ẽ_ij, and the arguments of g and σ in core and gate.
    void messages(const ThreeBody<T>& layer, const Partition& p, const Tile& tile, const AngleBases<T>& bases,
                  const T* const* gates, AngleScratch<T>& s) const {
        constexpr int W = LANES<T>;
        for (int64_t atom = tile.first_atom; atom < tile.last_atom; ++atom) {
            const int64_t first = p.angles_of[atom], last = p.angles_of[atom + 1];
            T* density = s.density.begin() + (atom - tile.first_atom) * harmonics_ * angular_;
            for (int f = 0; f < angular_; f += W) {
                for (int64_t a = first; a < last; ++a)
                    store(s.weighted.begin() + (a - tile.first_angle) * angular_ + f,
                          load(bases.weight.begin() + a * angular_ + f) * load(gates[a - tile.first_angle] + f));
                collect(first, last, bases, s.weighted.begin() + (first - tile.first_angle) * angular_ + f, density + f, f);
                for (int64_t a = first; a < last; ++a) {
                    const int64_t at = (a - tile.first_angle) * angular_ + f;
                    const Vec<T> bare = seen(bases, a, density + f) - load(poles_.pole.begin() + f) * load(s.weighted.begin() + at);
                    store(s.bare.begin() + at, bare);
                    store(s.messages.begin() + at, bases.envelope[2 * a] * bare);
                }
            }
        }
        const int angles = int(tile.angles());
        multiply<T, Start::zero>(angles, s.messages.begin(), angular_, layer.core, s.core.begin(), edges_);
        multiply<T, Start::zero>(angles, s.messages.begin(), angular_, layer.gate, s.gate.begin(), edges_);
    }

    // density[lm] ← Σ over bonds Y_lm · value, where l fits, over Y_l0(0); one vector of columns.
    void collect(int64_t first, int64_t last, const AngleBases<T>& bases, const T* values, T* density, int column) const {
        for (int part = 0; part < harmonics_; part += 8) {
            const int count = std::min(8, harmonics_ - part);
            Vec<T> sums[8] = {};
            for (int64_t a = first; a < last; ++a) {
                const Vec<T> value = load(values + (a - first) * angular_);
                const T* y = bases.y.begin() + a * harmonics_ + part;
                if (count == 8) {
#pragma GCC unroll 8
                    for (int i = 0; i < 8; ++i) sums[i] += y[i] * value;
                } else {
                    for (int i = 0; i < count; ++i) sums[i] += y[i] * value;
                }
            }
            for (int i = 0; i < count; ++i)
                store(density + (part + i) * angular_, sums[i] * load(poles_.mask.begin() + (part + i) * angular_ + column));
        }
    }

    // Σ_lm Y_lm density[lm] for one vector of columns.
    Vec<T> seen(const AngleBases<T>& bases, int64_t a, const T* density) const {
        const T* y = bases.y.begin() + a * harmonics_;
        Vec<T> even{}, odd{};
        int lm = 0;
        for (; lm + 1 < harmonics_; lm += 2) {
            even += y[lm] * load(density + lm * angular_);
            odd += y[lm + 1] * load(density + (lm + 1) * angular_);
        }
        if (lm < harmonics_) even += y[lm] * load(density + lm * angular_);
        return even + odd;
    }

    void back_through_density(const Graph& g, const Partition& p, const Tile& tile, int64_t atom, AngleBases<T>& bases,
                              const T* const* gates, AngleScratch<T>& s, T* const* d_gates, T* d_length) const {
        constexpr int W = LANES<T>;
        const int64_t first = p.angles_of[atom], last = p.angles_of[atom + 1];
        const T* density = s.density.begin() + (atom - tile.first_atom) * harmonics_ * angular_;
        const T* d_bare = s.messages.begin() + (first - tile.first_angle) * angular_;
        const T* weighted = s.weighted.begin() + (first - tile.first_angle) * angular_;
        for (int f = 0; f < angular_; f += W) collect(first, last, bases, d_bare + f, s.back.begin() + f, f);
        for (int64_t a = first; a < last; ++a, d_bare += angular_, weighted += angular_) {
            const T* gate = gates[a - tile.first_angle];
            T* d_gate = d_gates[a - tile.first_angle];
            Vec<T> by_length{};
            for (int f = 0; f < angular_; f += W) {
                const Vec<T> d = seen(bases, a, s.back.begin() + f) - load(poles_.pole.begin() + f) * load(d_bare + f);
                by_length += d * load(gate + f) * load(bases.slope.begin() + a * angular_ + f);
                store(d_gate + f, load(d_gate + f) + d * load(bases.weight.begin() + a * angular_ + f));
            }
            d_length[g.angle[a] - tile.first_bond] += sum(by_length);
            T* d_y = bases.d_y.begin() + a * harmonics_;
            for (int lm = 1; lm < harmonics_; ++lm) {  // Y_00 is constant
                Vec<T> total{};
                for (int f = 0; f < angular_; f += W) {
                    const int at = lm * angular_ + f;
                    total += load(density + at) * load(d_bare + f) + load(s.back.begin() + at) * load(weighted + f);
                }
                d_y[lm] += sum(total);
            }
        }
    }

    const Poles<T> poles_;
    const int angular_, edges_, harmonics_;
};

}  // namespace tribond::INSTRUCTION_SET
