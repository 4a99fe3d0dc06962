// What depends on the vectors of the bonds alone: bases and the first e_ij, and the backward pass to dE/dr.
#pragma once

#include "engine/angles.hpp"

namespace tribond::INSTRUCTION_SET {

template <class T> struct BondBases {
    Buffer<T> basis, slopes;  // (bonds, basis) e⁰_ij and its derivative by r
    Buffer<T> d_length;       // (bonds,) derivative of the energy by r, added up
    AngleBases<T> angles;

    void resize(const Model<T>& m, size_t bonds, size_t angle_bonds) {
        const int count = m.edge_basis.count();
        basis.resize(bonds * count), slopes.resize(bonds * count), d_length.resize(bonds);
        angles.harmonics = m.max_l * m.max_l;
        angles.weight.resize(angle_bonds * m.angular), angles.slope.resize(angle_bonds * m.angular);
        angles.envelope.resize(angle_bonds * 2);
        angles.y.resize(angle_bonds * angles.harmonics), angles.d_y.resize(angle_bonds * angles.harmonics);
    }

    // Those of a tile, from its vectors.
    void set(const Model<T>& m, const Graph& g, const Tile& tile) {
        const int count = m.edge_basis.count();
        Vec<double> f[MOST_FUNCTIONS], df[MOST_FUNCTIONS], y[16];
        for (int64_t b = tile.first_bond; b < tile.last_bond; b += LANES<double>) {
            const int some = int(std::min<int64_t>(LANES<double>, tile.last_bond - b));
            const Beside bonds(g.vectors, some, [=](int lane) { return b + lane; });
            m.edge_basis.evaluate(bonds.length, f, df);
            for (int lane = 0; lane < some; ++lane) {
                T *value = basis.begin() + (b + lane) * count, *slope = slopes.begin() + (b + lane) * count;
                for (int i = 0; i < count; ++i) value[i] = T(f[i][lane]), slope[i] = T(df[i][lane]);
                d_length[b + lane] = 0;
            }
        }
        for (int64_t a = tile.first_angle; a < tile.last_angle; a += LANES<double>) {
            const int some = int(std::min<int64_t>(LANES<double>, tile.last_angle - a));
            const Beside bonds(g.vectors, some, [&](int lane) { return g.angle[a + lane]; });
            const Envelope fc = enveloped(m.angle_basis, m.threebody_cutoff, bonds.length, f, df);
            harmonics(bonds.unit, m.max_l, y);
            for (int lane = 0; lane < some; ++lane) write_angle(m, a + lane, lane, f, df, fc, y);
        }
    }

    // dE/dr of a tile's bonds, when all derivatives have been added up.
    void assemble(const Model<T>& m, const Graph& g, const Tile& tile, double* gradient) const {
        const int count = angles.harmonics;
        double d[16];
        int64_t a = tile.first_angle;
        for (int64_t b = tile.first_bond; b < tile.last_bond; ++b) {
            const double* v = g.vectors + 3 * b;
            const double r = std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
            const double unit[3] = {v[0] / r, v[1] / r, v[2] / r};
            double along = d_length[b], across[3] = {0, 0, 0};
            if (a < tile.last_angle && g.angle[a] == b) {
                for (int i = 0; i < count; ++i) d[i] = angles.d_y[a * count + i];
                harmonics_gradient(unit, m.max_l, d, across);
                along -= (unit[0] * across[0] + unit[1] * across[1] + unit[2] * across[2]) / r;
                ++a;
            }
            for (int x = 0; x < 3; ++x) gradient[3 * b + x] = along * unit[x] + across[x] / r;
        }
    }

    // e_ij = g(W e⁰_ij + b) of the first block.
    void embed(const Model<T>& m, const Tile& tile, T* edges) const {
        constexpr int W = LANES<T>;
        const int count = m.edge_basis.count();
        for (int64_t b = tile.first_bond; b < tile.last_bond; ++b, edges += m.edges)
            for (int f = 0; f < m.edges; f += W) {
                Vec<T> x = load(m.bond_bias.begin() + f);
                for (int i = 0; i < count; ++i) x += basis[b * count + i] * load(m.bond_weight.begin() + i * m.edges + f);
                store(edges + f, x * sigmoid(x));
            }
    }

    // From ∂e_ij of the first block: adds to `d_length`.
    void embed_backward(const Model<T>& m, const Tile& tile, const T* d_edges) {
        constexpr int W = LANES<T>;
        const int count = m.edge_basis.count();
        for (int64_t b = tile.first_bond; b < tile.last_bond; ++b, d_edges += m.edges) {
            Vec<T> total{};
            for (int f = 0; f < m.edges; f += W) {
                Vec<T> x = load(m.bond_bias.begin() + f), by_r{};
                for (int i = 0; i < count; ++i) {
                    const Vec<T> weight = load(m.bond_weight.begin() + i * m.edges + f);
                    x += basis[b * count + i] * weight;
                    by_r += slopes[b * count + i] * weight;
                }
                const Vec<T> s = sigmoid(x);
                total += load(d_edges + f) * by_r * (s + x * s * (T(1) - s));
            }
            d_length[b] += sum(total);
        }
    }

private:
    void write_angle(const Model<T>& m, int64_t a, int lane, const Vec<double>* f, const Vec<double>* df, const Envelope& fc,
                     const Vec<double>* y) {
        T *weight = angles.weight.begin() + a * m.angular, *slope = angles.slope.begin() + a * m.angular;
        for (int i = 0; i < m.angular; ++i) {
            const bool real = i < m.angle_basis.count();
            weight[i] = real ? T(f[i][lane]) : T(0), slope[i] = real ? T(df[i][lane]) : T(0);
        }
        angles.envelope[2 * a] = T(fc.value[lane]), angles.envelope[2 * a + 1] = T(fc.slope[lane]);
        T *harmonic = angles.y.begin() + a * angles.harmonics, *derivative = angles.d_y.begin() + a * angles.harmonics;
        for (int i = 0; i < angles.harmonics; ++i) harmonic[i] = T(y[i][lane]), derivative[i] = 0;
    }
};

}  // namespace tribond::INSTRUCTION_SET
