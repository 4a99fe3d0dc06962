// The gradient by the weights of a loss on energies and forces: forward and backward through all blocks in dual numbers.
//
// Let e_i be the energy of an atom, g_b = dE/dr_b, and c_i, w_b the derivatives of the loss by them. By the weights θ
//
//     dL/dθ = Σ c_i de_i/dθ + Σ w_b · dg_b/dθ = d/dθ d/dε [ Σ (1 + ε c_i) e_i(θ, r + ε w) ],
//
// so that one pass with the bond vectors r + ε w and the backward pass begun with 1 + ε c_i gives it: what belongs to ε in the
// gradient of every weight. Kept for every bond is e_ij after (3) and after (4) of each block, for a block's backward pass,
// which goes there once more, a few bonds at a time.
#pragma once

#include "training/dual_atoms.hpp"

namespace tribond::INSTRUCTION_SET {

template <class T> class DualPass : DualAtoms<T> {
    using Base = DualAtoms<T>;
    using typename Base::Worker;
    using Base::m_, Base::g_, Base::p_, Base::w_, Base::to_, Base::width_, Base::row, Base::by_tile, Base::by_atom;
    using Base::bond_parts, Base::bond_parts_backward, Base::atom_parts_and_gate, Base::atom_parts_and_gate_backward;

public:
    // d_energies (atoms,) and d_gradient (bonds, 3): derivatives of the loss, c_i and w_b above.
    DualPass(const Model<T>& model, const Graph& graph, DualWorkspace<T>& workspace, Gradients<T>& gradients, int threads,
             const double* d_energies, const double* d_gradient)
        : Base(model, graph, workspace, gradients, threads), angles_(model), d_energies_(d_energies), d_gradient_(d_gradient) {}

    // The gradients to the tensors of the weights.
    void run(void* const* tensors) {
        by_tile([&](const Tile& tile, Worker&, T*) { set_bases(tile); });
        by_atom([&](int64_t first, int64_t last, Worker&, T*) { Base::embed_atoms(first, last); });
        for (int k = 0; k < m_.num_blocks; ++k) m_.atom_first ? forward_atom_first(k) : forward(k);
        by_atom([&](int64_t first, int64_t last, Worker& s, T* slot) { Base::read_out(first, last, d_energies_, s, slot); });
        for (int k = m_.num_blocks - 1; k >= 0; --k) m_.atom_first ? backward_atom_first(k) : backward(k);
        by_atom([&](int64_t first, int64_t last, Worker&, T* slot) { Base::embed_atoms_backward(first, last, slot); });
        to_.write(tensors, Base::threads_);
    }

private:
    // ------------------------------------------------------------------------------------------- bases

    void set_bases(const Tile& tile) {
        const int basis = m_.edge_basis.count(), angle_basis = m_.angle_basis.count();
        Vec<double> values[MOST_FUNCTIONS], slopes[MOST_FUNCTIONS];
        for (int64_t b = tile.first_bond; b < tile.last_bond; b += LANES<double>) {
            const int some = int(std::min<int64_t>(LANES<double>, tile.last_bond - b));
            const Beside bonds(g_.vectors, some, [=](int lane) { return b + lane; });
            m_.edge_basis.evaluate(bonds.length, values, slopes);
            for (int lane = 0; lane < some; ++lane) {
                T* own = w_.basis.begin() + (b + lane) * 2 * basis;
                const double dr = change_of_length(bonds, lane, b + lane);
                for (int i = 0; i < basis; ++i) own[i] = T(values[i][lane]), own[basis + i] = T(slopes[i][lane] * dr);
            }
        }
        for (int64_t a = tile.first_angle; a < tile.last_angle; a += LANES<double>) {
            const int some = int(std::min<int64_t>(LANES<double>, tile.last_angle - a));
            const Beside bonds(g_.vectors, some, [&](int lane) { return g_.angle[a + lane]; });
            const Envelope fc = enveloped(m_.angle_basis, m_.threebody_cutoff, bonds.length, values, slopes);
            for (int lane = 0; lane < some; ++lane) {
                const int64_t b = g_.angle[a + lane];
                const double dr = change_of_length(bonds, lane, b);
                T* weight = w_.angles.weight.begin() + (a + lane) * 2 * m_.angular;
                std::fill_n(weight, 2 * m_.angular, T(0));
                for (int i = 0; i < angle_basis; ++i)
                    weight[i] = T(values[i][lane]), weight[m_.angular + i] = T(slopes[i][lane] * dr);
                T* own_fc = w_.angles.envelope.begin() + 2 * (a + lane);
                own_fc[0] = T(fc.value[lane]), own_fc[1] = T(fc.slope[lane] * dr);
                set_harmonics(bonds, lane, dr, d_gradient_ + 3 * b, w_.angles.y.begin() + (a + lane) * 2 * m_.max_l * m_.max_l);
            }
        }
    }

    double change_of_length(const Beside& bonds, int lane, int64_t b) const {
        const double* w = d_gradient_ + 3 * b;
        return bonds.unit[0][lane] * w[0] + bonds.unit[1][lane] * w[1] + bonds.unit[2][lane] * w[2];
    }

    void set_harmonics(const Beside& bonds, int lane, double dr, const double* w, T* to) const {
        const int count = m_.max_l * m_.max_l;
        Changing unit[3], y[16];
        for (int x = 0; x < 3; ++x) {
            const double u = bonds.unit[x][lane];
            unit[x] = {u, (w[x] - u * dr) / bonds.length[lane]};
        }
        harmonics(unit, m_.max_l, y);
        for (int i = 0; i < count; ++i) to[i] = T(y[i].a), to[count + i] = T(y[i].b);
    }

    Dual<T> embedding(int64_t b, int f) const {
        const int basis = m_.edge_basis.count();
        const T* own = w_.basis.begin() + b * 2 * basis;
        Dual<T> x{load(m_.bond_bias.begin() + f), Vec<T>{}};
        for (int i = 0; i < basis; ++i) {
            const Vec<T> weight = load(m_.bond_weight.begin() + i * m_.edges + f);
            x = x + Dual<T>{own[i] * weight, own[basis + i] * weight};
        }
        return x;
    }

    // e_ij = g(W e⁰_ij + b) of the first block.
    void embed(const Tile& tile, T* edges) {
        for (int64_t b = tile.first_bond; b < tile.last_bond; ++b, edges += 2 * m_.edges)
            for (int f = 0; f < m_.edges; f += LANES<T>) {
                const Dual<T> x = embedding(b, f);
                store_dual(edges + f, m_.edges, x * sigmoid(x));
            }
    }

    void embed_backward(const Tile& tile, T* d_edges, T* slot) {
        const int basis = m_.edge_basis.count(), edges = m_.edges, count = int(tile.bonds());
        for (int64_t r = 0; r < count; ++r)
            for (int f = 0; f < edges; f += LANES<T>) {
                T* d = d_edges + r * 2 * edges + f;
                const Dual<T> x = embedding(tile.first_bond + r, f), s = sigmoid(x);
                store_dual(d, edges, load_dual(d, edges) * silu_slope(s, x * s));
            }
        const T* e0 = w_.basis.begin() + tile.first_bond * 2 * basis;
        outer(count, e0, basis, basis, d_edges, edges, edges, slot + to_.bond_weight, edges);
        add_changes(count, d_edges, edges, edges, slot + to_.bond_bias);
    }

    // ------------------------------------------------------------------------------------------- tiles

    T* of(Buffer<T>& edges, const Tile& tile) { return edges.begin() + tile.first_bond * 2 * m_.edges; }

    DualBonds<T> bonds(const Tile& tile, const T* edges, const Buffer<T>& centre_part, const Buffer<T>& neighbour_part,
                       int width, Worker& s) {
        const int count = int(tile.bonds());
        for (int r = 0; r < count; ++r)
            for (int row = 0; row < 2; ++row) {
                const int64_t b = tile.first_bond + r;
                s.centre_part[2 * r + row] = centre_part.begin() + (2 * g_.centre[b] + row) * width;
                s.neighbour_part[2 * r + row] = neighbour_part.begin() + (2 * g_.neighbour[b] + row) * width;
            }
        const T* basis = w_.basis.begin() + tile.first_bond * 2 * m_.edge_basis.count();
        return {count, edges, basis, s.centre_part.data(), s.neighbour_part.data()};
    }

    DualBonds<T> for_bonds(const Tile& tile, const T* edges, Worker& s) {
        return bonds(tile, edges, w_.bond_centre, w_.bond_neighbour, width_.bond, s);
    }

    DualBonds<T> for_atoms(const Tile& tile, const T* edges, Worker& s) {
        return bonds(tile, edges, w_.atom_centre, w_.atom_neighbour, width_.atom, s);
    }

    void set_gates(const Tile& tile, Worker& s) {
        for (int64_t a = 0; a < tile.angles(); ++a) {
            const int64_t b = g_.angle[tile.first_angle + a];
            const int64_t atom = m_.gated_by_end ? g_.neighbour[b] : g_.centre[b];
            s.gates[a] = w_.gate.begin() + atom * 2 * m_.angular;
            s.d_gates[a] = m_.gated_by_end ? row(p_.row[b]) + 2 * (width_.bond + width_.atom)
                                           : w_.d_gate.begin() + atom * 2 * m_.angular;
        }
    }

    // e_ij before block k, then (2) and (3) in place.
    void angles_forward(int k, const Tile& tile, Worker& s) {
        T* edges = of(w_.after_angles[k], tile);
        if (k == 0) embed(tile, edges);
        else if (!m_.atom_first) std::copy_n(of(w_.after_bonds[k - 1], tile), tile.bonds() * 2 * m_.edges, edges);
        set_gates(tile, s);
        angles_.forward(m_.blocks[k].angles, g_, p_, tile, w_.angles, s.gates.data(), s.angles, edges);
    }

    void angles_backward(int k, const Tile& tile, Worker& s, T* slot) {
        set_gates(tile, s);
        if (!m_.gated_by_end)
            std::fill_n(w_.d_gate.begin() + tile.first_atom * 2 * m_.angular, tile.atoms() * 2 * m_.angular, T(0));
        T* d_edges = of(w_.d_edges, tile);
        angles_.backward(m_.blocks[k].angles, to_.blocks[k].angles, g_, p_, tile, w_.angles, s.gates.data(), s.angles, d_edges,
                         s.d_gates.data(), slot);
        if (k == 0) embed_backward(tile, d_edges, slot);
    }

    // (4): e_ij after from e_ij before.
    void bond_forward(int k, const Tile& tile, const T* before, T* after, Worker& s) {
        dual_update_forward(m_.blocks[k].bond, for_bonds(tile, before, s), s.bond, s.message.begin());
        for (int64_t i = 0; i < tile.bonds() * 2 * m_.edges; i += LANES<T>)
            store(after + i, load(before + i) + load(s.message.begin() + i));
    }

    // (5): the messages of a tile, summed onto v_i or into rows of the far ends.
    void atom_forward(int k, const Tile& tile, const T* edges, Worker& s) {
        dual_update_forward(m_.blocks[k].atom, for_atoms(tile, edges, s), s.atom, s.message.begin());
        const int width = 2 * m_.nodes;
        T* nodes = w_.nodes[k + 1].begin();
        std::copy_n(w_.nodes[k].begin() + tile.first_atom * width, tile.atoms() * width, nodes + tile.first_atom * width);
        const T* message = s.message.begin();
        for (int64_t b = tile.first_bond; b < tile.last_bond; ++b, message += width) {
            T* onto = m_.onto_centre ? nodes + g_.centre[b] * width : row(p_.row[b]);
            for (int f = 0; f < width; f += LANES<T>) store(onto + f, load(onto + f) + load(message + f));
        }
    }

    void bond_backward(int k, const Tile& tile, Worker& s, T* slot) {
        T* d_edges = of(w_.d_edges, tile);
        for (int64_t r = 0; r < tile.bonds(); ++r) s.d_message[r] = d_edges + r * 2 * m_.edges;
        const DualEnds<T> ends = begin(tile, w_.d_bond_centre, width_.bond, 0, s);
        const T* edges = of(w_.after_angles[k], tile);
        dual_update_backward(m_.blocks[k].bond, to_.blocks[k].bond, for_bonds(tile, edges, s), s.bond, ends, slot);
    }

    void atom_backward(int k, const Tile& tile, Worker& s, T* slot) {
        for (int64_t r = 0; r < tile.bonds(); ++r) {
            const int64_t b = tile.first_bond + r;
            s.d_message[r] = w_.d_nodes.begin() + (m_.onto_centre ? g_.centre[b] : g_.neighbour[b]) * 2 * m_.nodes;
        }
        const DualEnds<T> ends = begin(tile, w_.d_atom_centre, width_.atom, 2 * width_.bond, s);
        const T* edges = of(m_.atom_first ? w_.after_angles[k] : w_.after_bonds[k], tile);
        dual_update_backward(m_.blocks[k].atom, to_.blocks[k].atom, for_atoms(tile, edges, s), s.atom, ends, slot);
    }

    DualEnds<T> begin(const Tile& tile, Buffer<T>& d_centre, int width, int column, Worker& s) {
        std::fill_n(d_centre.begin() + tile.first_atom * 2 * width, tile.atoms() * 2 * width, T(0));
        for (int64_t r = 0; r < tile.bonds(); ++r) {
            const int64_t b = tile.first_bond + r;
            s.d_centre_part[r] = d_centre.begin() + g_.centre[b] * 2 * width;
            s.d_neighbour_part[r] = row(p_.row[b]) + column;
        }
        return {s.d_message.data(), of(w_.d_edges, tile), s.d_centre_part.data(), s.d_neighbour_part.data()};
    }

    void clear_d_edges(const Tile& tile) { std::fill_n(of(w_.d_edges, tile), tile.bonds() * 2 * m_.edges, T(0)); }

    // ------------------------------------------------------------------------------------------- blocks

    void forward(int k) {
        bond_parts(k, w_.nodes[k]);
        atom_parts_and_gate(k, w_.nodes[k]);
        by_tile([&](const Tile& tile, Worker& s, T*) {
            angles_forward(k, tile, s);
            bond_forward(k, tile, of(w_.after_angles[k], tile), of(w_.after_bonds[k], tile), s);
            atom_forward(k, tile, of(w_.after_bonds[k], tile), s);
        }, !m_.onto_centre);
        Base::sum_far_messages(k);
    }

    void backward(int k) {
        const bool last = k + 1 == m_.num_blocks;
        if (!last) bond_parts(k, w_.nodes[k]), atom_parts_and_gate(k, w_.nodes[k]);
        by_tile([&](const Tile& tile, Worker& s, T* slot) {
            if (last) clear_d_edges(tile);
            atom_backward(k, tile, s, slot);
            bond_backward(k, tile, s, slot);
            angles_backward(k, tile, s, slot);
        }, true);
        bond_parts_backward(k, w_.nodes[k]);
        atom_parts_and_gate_backward(k, w_.nodes[k]);
    }

    // Atoms before bonds: nothing reads the bonds of the last block.
    void forward_atom_first(int k) {
        atom_parts_and_gate(k, w_.nodes[k]);
        by_tile([&](const Tile& tile, Worker& s, T*) {
            angles_forward(k, tile, s);
            atom_forward(k, tile, of(w_.after_angles[k], tile), s);
        }, !m_.onto_centre);
        Base::sum_far_messages(k);
        if (k + 1 == m_.num_blocks) return;
        bond_parts(k, w_.nodes[k + 1]);
        by_tile([&](const Tile& tile, Worker& s, T*) {
            bond_forward(k, tile, of(w_.after_angles[k], tile), of(w_.after_angles[k + 1], tile), s);
        });
    }

    void backward_atom_first(int k) {
        const bool last = k + 1 == m_.num_blocks;
        if (!last) {
            bond_parts(k, w_.nodes[k + 1]);
            by_tile([&](const Tile& tile, Worker& s, T* slot) { bond_backward(k, tile, s, slot); }, true);
            bond_parts_backward(k, w_.nodes[k + 1]);
            atom_parts_and_gate(k, w_.nodes[k]);
        }
        by_tile([&](const Tile& tile, Worker& s, T* slot) {
            if (last) clear_d_edges(tile);
            atom_backward(k, tile, s, slot);
            angles_backward(k, tile, s, slot);
        }, true);
        atom_parts_and_gate_backward(k, w_.nodes[k]);
    }

    const DualAngles<T> angles_;
    const double *const d_energies_, *const d_gradient_;
};

}  // namespace tribond::INSTRUCTION_SET
