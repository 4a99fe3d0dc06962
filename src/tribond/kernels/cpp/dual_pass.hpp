// The gradient by the weights of a loss on energies and forces: there and back through all blocks in dual numbers.
//
// Let e_i be the energy of an atom, g_b = dE/dr_b, and c_i, w_b the derivatives of the loss by them. By the weights θ
//
//     dL/dθ = Σ c_i de_i/dθ + Σ w_b · dg_b/dθ = d/dθ d/dε [ Σ (1 + ε c_i) e_i(θ, r + ε w) ],
//
// so that one pass with the bond vectors r + ε w and the way back begun with 1 + ε c_i gives it: what belongs to ε in the
// gradient of every weight. Kept for every bond is e_ij after (3) and after (4) of each block, for a block's way back,
// which goes there once more, a few bonds at a time.
#pragma once

#include <functional>

#include "dual_angles.hpp"
#include "dual_update.hpp"
#include "gradient.hpp"

namespace tribond {

constexpr int MOST_SLOTS = 16;

// Memory of a pass, kept from one to the next. All but `rows_of` in pairs of rows, see dual.hpp.
template <class T> struct DualWorkspace {
    struct Worker {
        DualUpdate<T> bond, atom;
        DualAngleScratch<T> angles;
        DualMlp<T> readout;
        Buffer<T> message;  // of a tile
        std::vector<const T*> centre_part, neighbour_part, d_message, gates;
        std::vector<T*> d_centre_part, d_neighbour_part, d_gates;
        Buffer<T> sums;  // of some atoms
    };

    std::vector<Worker> workers;
    std::vector<Buffer<T>> nodes;                      // before every block and after the last
    std::vector<Buffer<T>> after_angles, after_bonds;  // e_ij after (3) and (4) of every block
    Buffer<T> basis, d_edges, d_nodes;
    DualAngleBases<T> angles;
    // As in Workspace: W₁ v_i + b and W₂ v_j of both updates, σ(W_v v + b_v), and the derivatives.
    Buffer<T> bond_centre, bond_neighbour, atom_centre, atom_neighbour, gate;
    Buffer<T> d_bond_centre, d_atom_centre, d_gate, rows;

    size_t bytes() const {
        size_t total = 0;
        for (const auto* list : {&nodes, &after_angles, &after_bonds})
            for (const auto& it : *list) total += it.bytes();
        for (const Buffer<T>* it : {&basis, &d_edges, &d_nodes, &angles.weight, &angles.envelope, &angles.y, &bond_centre,
                                    &bond_neighbour, &atom_centre, &atom_neighbour, &gate, &d_bond_centre, &d_atom_centre,
                                    &d_gate, &rows})
            total += it->bytes();
        return total;
    }
};

template <class T> class DualPass {
    using Worker = typename DualWorkspace<T>::Worker;

public:
    // d_energies (atoms,) and d_gradient (bonds, 3): derivatives of the loss, c_i and w_b above.
    DualPass(const Model<T>& model, const Graph& graph, DualWorkspace<T>& workspace, Gradients<T>& gradients, int threads,
             const double* d_energies, const double* d_gradient)
        : m_(model), g_(graph), p_(graph), w_(workspace), to_(gradients), angles_(model), threads_(threads),
          d_energies_(d_energies), d_gradient_(d_gradient) {
        const Update<T>&bond = m_.blocks[0].bond, &atom = m_.blocks[0].atom;
        bond_width_ = 2 * bond.first.hidden, atom_width_ = 2 * atom.first.hidden;
        row_width_ = 2 * std::max(bond_width_ + atom_width_ + m_.angular, m_.nodes);
        atom_pieces_ = int((g_.atoms + DUALS_AT_ONCE - 1) / DUALS_AT_ONCE);
        slots_ = std::max(1, std::min<int>(MOST_SLOTS, p_.parts.size()));
        make_room();
    }

    // The gradients to the tensors of the weights.
    void run(void* const* tensors) {
        to_.clear(slots_, threads_);
        by_tile([&](const Tile& tile, Worker&, T*) { set_bases(tile); });
        by_atom([&](int64_t first, int64_t last, Worker&, T*) { embed_atoms(first, last); });
        for (int k = 0; k < m_.num_blocks; ++k) m_.atom_first ? forward_atom_first(k) : forward(k);
        by_atom([&](int64_t first, int64_t last, Worker& s, T* slot) { read_out(first, last, s, slot); });
        for (int k = m_.num_blocks - 1; k >= 0; --k) m_.atom_first ? backward_atom_first(k) : backward(k);
        by_atom([&](int64_t first, int64_t last, Worker&, T* slot) {
            for (int64_t i = first; i < last; ++i)
                add_changes(1, w_.d_nodes.begin() + i * 2 * m_.nodes, m_.nodes, m_.nodes,
                            slot + to_.embedding + g_.element[i] * m_.nodes);
        });
        to_.write(tensors, threads_);
    }

private:
    // ------------------------------------------------------------------------------------------- sharing out

    void by_tile(const std::function<void(const Tile&, Worker&, T*)>& work, bool clear_rows = false) {
        share_out(slots_, threads_, [&](int slot, int worker) {
            for (size_t number = slot; number < p_.parts.size(); number += slots_) {
                const Part& part = p_.parts[number];
                if (clear_rows)
                    std::fill_n(row(part.first_row), size_t(part.last_row - part.first_row) * row_width_, T(0));
                for (int t = part.first_tile; t < part.last_tile; ++t) work(p_.tiles[t], w_.workers[worker], to_.slot(slot));
            }
        });
    }

    void by_atom(const std::function<void(int64_t, int64_t, Worker&, T*)>& work) {
        share_out(slots_, threads_, [&](int slot, int worker) {
            for (int64_t piece = slot; piece < atom_pieces_; piece += slots_)
                work(piece * DUALS_AT_ONCE, std::min(g_.atoms, (piece + 1) * DUALS_AT_ONCE), w_.workers[worker], to_.slot(slot));
        });
    }

    void make_room() {
        const size_t atoms = g_.atoms, bonds = g_.bonds, angles = g_.angles;
        w_.nodes.resize(m_.num_blocks + 1);
        for (auto& it : w_.nodes) it.resize(atoms * 2 * m_.nodes);
        w_.after_angles.resize(m_.num_blocks), w_.after_bonds.resize(m_.atom_first ? 0 : m_.num_blocks);
        for (auto* list : {&w_.after_angles, &w_.after_bonds})
            for (auto& it : *list) it.resize(bonds * 2 * m_.edges);
        w_.basis.resize(bonds * 2 * m_.edge_basis.count());
        w_.d_edges.resize(bonds * 2 * m_.edges), w_.d_nodes.resize(atoms * 2 * m_.nodes);
        w_.angles.weight.resize(angles * 2 * m_.angular), w_.angles.envelope.resize(angles * 2);
        w_.angles.y.resize(angles * 2 * m_.max_l * m_.max_l);
        for (auto* it : {&w_.bond_centre, &w_.bond_neighbour, &w_.d_bond_centre}) it->resize(atoms * 2 * bond_width_);
        for (auto* it : {&w_.atom_centre, &w_.atom_neighbour, &w_.d_atom_centre}) it->resize(atoms * 2 * atom_width_);
        for (auto* it : {&w_.gate, &w_.d_gate}) it->resize(atoms * 2 * m_.angular);
        w_.rows.resize(p_.rows.size() * row_width_);
        if (int(w_.workers.size()) < threads_) w_.workers.resize(threads_);
        for (Worker& s : w_.workers) {
            const size_t b = p_.most_bonds, a = p_.most_angles;
            s.bond.resize(m_.blocks[0].bond), s.atom.resize(m_.blocks[0].atom);
            s.readout.resize(m_.readout[0].layers, DUALS_AT_ONCE);
            s.angles.resize(m_, a);
            s.message.resize(b * 2 * std::max(m_.nodes, m_.edges));
            for (auto* it : {&s.centre_part, &s.neighbour_part}) it->resize(2 * b);
            s.d_message.resize(b);
            for (auto* it : {&s.d_centre_part, &s.d_neighbour_part}) it->resize(b);
            s.gates.resize(a), s.d_gates.resize(a);
            s.sums.resize(DUALS_AT_ONCE * row_width_);
        }
    }

    // Room of a part for what it adds to the atom at the far end of a bond.
    T* row(int64_t number) { return w_.rows.begin() + size_t(number) * row_width_; }

    // ------------------------------------------------------------------------------------------- bases

    void set_bases(const Tile& tile) {
        const int basis = m_.edge_basis.count(), angle_basis = m_.angle_basis.count(), count = m_.max_l * m_.max_l;
        double values[MOST_FUNCTIONS], slopes[MOST_FUNCTIONS];
        Changing y[16];
        int64_t a = tile.first_angle;
        for (int64_t b = tile.first_bond; b < tile.last_bond; ++b) {
            const double *v = g_.vectors + 3 * b, *w = d_gradient_ + 3 * b;
            const double r = std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
            const double dr = (v[0] * w[0] + v[1] * w[1] + v[2] * w[2]) / r;
            m_.edge_basis.evaluate(r, values, slopes);
            T* own = w_.basis.begin() + b * 2 * basis;
            for (int i = 0; i < basis; ++i) own[i] = T(values[i]), own[basis + i] = T(slopes[i] * dr);
            if (a == tile.last_angle || g_.angle[a] != b) continue;
            double fc_slope;
            const double fc = envelope(r, m_.threebody_cutoff, fc_slope);
            m_.angle_basis.evaluate(r, values, slopes);
            T* weight = w_.angles.weight.begin() + a * 2 * m_.angular;
            std::fill_n(weight, 2 * m_.angular, T(0));
            for (int i = 0; i < angle_basis; ++i)
                weight[i] = T(fc * values[i]), weight[m_.angular + i] = T((fc * slopes[i] + fc_slope * values[i]) * dr);
            w_.angles.envelope[2 * a] = T(fc), w_.angles.envelope[2 * a + 1] = T(fc_slope * dr);
            Changing unit[3];
            for (int x = 0; x < 3; ++x) unit[x] = {v[x] / r, (w[x] - v[x] / r * dr) / r};
            harmonics(unit, m_.max_l, y);
            T* harmonic = w_.angles.y.begin() + a * 2 * count;
            for (int i = 0; i < count; ++i) harmonic[i] = T(y[i].a), harmonic[count + i] = T(y[i].b);
            ++a;
        }
    }

    void embed_atoms(int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
            T* v = w_.nodes[0].begin() + i * 2 * m_.nodes;
            std::copy_n(m_.embedding.begin() + g_.element[i] * m_.nodes, m_.nodes, v);
            std::fill_n(v + m_.nodes, m_.nodes, T(0));
        }
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
        outer(count, w_.basis.begin() + tile.first_bond * 2 * basis, basis, basis, d_edges, edges, edges, slot + to_.bond_weight, edges);
        add_changes(count, d_edges, edges, edges, slot + to_.bond_bias);
    }

    // ------------------------------------------------------------------------------------------- atoms

    void bond_parts(int k, const Buffer<T>& nodes) {
        by_atom([&](int64_t first, int64_t last, Worker&, T*) {
            parts(m_.blocks[k].bond.first, nodes, first, last, w_.bond_centre, w_.bond_neighbour);
        });
    }

    void atom_parts_and_gate(int k, const Buffer<T>& nodes) {
        by_atom([&](int64_t first, int64_t last, Worker&, T*) {
            parts(m_.blocks[k].atom.first, nodes, first, last, w_.atom_centre, w_.atom_neighbour);
            gates(k, nodes, first, last);
        });
    }

    void parts(const FirstLayer<T>& layer, const Buffer<T>& nodes, int64_t first, int64_t last, Buffer<T>& centre, Buffer<T>& neighbour) {
        const int rows = 2 * int(last - first), width = 2 * layer.hidden;
        const T* v = nodes.begin() + first * 2 * m_.nodes;
        multiply<T, Start::bias_of_even>(rows, v, m_.nodes, layer.centre, centre.begin() + first * 2 * width, width, {layer.bias.begin()});
        multiply<T, Start::zero>(rows, v, m_.nodes, layer.neighbour, neighbour.begin() + first * 2 * width, width);
    }

    void gates(int k, const Buffer<T>& nodes, int64_t first, int64_t last) {
        const ThreeBody<T>& angles = m_.blocks[k].angles;
        T* gate = w_.gate.begin() + first * 2 * m_.angular;
        const T* v = nodes.begin() + first * 2 * m_.nodes;
        multiply<T, Start::bias_of_even>(2 * int(last - first), v, m_.nodes, angles.atom_gate, gate, m_.angular, {angles.atom_gate_bias.begin()});
        for (int64_t i = first; i < last; ++i, gate += 2 * m_.angular)
            for (int f = 0; f < m_.angular; f += LANES<T>) store_dual(gate + f, m_.angular, sigmoid(load_dual(gate + f, m_.angular)));
    }

    // What the parts of all tiles add up to for an atom, from `column` on.
    void sum_rows(int64_t atom, int column, int count, T* total) {
        std::fill_n(total, count, T(0));
        for (int64_t i = p_.rows_of[atom]; i < p_.rows_of[atom + 1]; ++i) {
            const T* from = row(p_.rows[i]) + column;
            for (int f = 0; f < count; f += LANES<T>) store(total + f, load(total + f) + load(from + f));
        }
    }

    void bond_parts_backward(int k, const Buffer<T>& nodes) {
        by_atom([&](int64_t first, int64_t last, Worker& s, T* slot) {
            parts_backward(m_.blocks[k].bond.first, to_.blocks[k].bond.phi, nodes, first, last, w_.d_bond_centre, 0, s, slot);
        });
    }

    void parts_backward(const FirstLayer<T>& layer, const MlpPlaces& to, const Buffer<T>& nodes, int64_t first, int64_t last,
                        const Buffer<T>& d_centre, int column, Worker& s, T* slot) {
        const int count = int(last - first), width = 2 * layer.hidden, n = m_.nodes;
        const T *v = nodes.begin() + first * 2 * n, *centre = d_centre.begin() + first * 2 * width;
        T *d_nodes = w_.d_nodes.begin() + first * 2 * n, *neighbour = s.sums.begin();
        for (int i = 0; i < count; ++i) sum_rows(first + i, column, 2 * width, neighbour + i * 2 * width);
        outer(count, v, n, n, centre, width, width, slot + to.centre, width);
        outer(count, v, n, n, neighbour, width, width, slot + to.neighbour, width);
        add_changes(count, centre, width, width, slot + to.bias);
        multiply<T, Start::output>(2 * count, centre, width, layer.centre_back, d_nodes, n);
        multiply<T, Start::output>(2 * count, neighbour, width, layer.neighbour_back, d_nodes, n);
    }

    void atom_parts_and_gate_backward(int k, const Buffer<T>& nodes) {
        by_atom([&](int64_t first, int64_t last, Worker& s, T* slot) {
            parts_backward(m_.blocks[k].atom.first, to_.blocks[k].atom.phi, nodes, first, last, w_.d_atom_centre, 2 * bond_width_, s, slot);
            const int n = m_.nodes, angular = m_.angular, count = int(last - first);
            T* d_gate = w_.d_gate.begin() + first * 2 * angular;
            const T* gate = w_.gate.begin() + first * 2 * angular;
            for (int i = 0; i < count; ++i) {
                if (m_.gated_by_end)
                    sum_rows(first + i, 2 * (bond_width_ + atom_width_), 2 * angular, d_gate + i * 2 * angular);
                for (int f = 0; f < angular; f += LANES<T>) {
                    T* d = d_gate + i * 2 * angular + f;
                    const Dual<T> share = load_dual(gate + i * 2 * angular + f, angular);
                    store_dual(d, angular, load_dual(d, angular) * share * one_minus(share));
                }
            }
            const AnglePlaces& to = to_.blocks[k].angles;
            outer(count, nodes.begin() + first * 2 * n, n, n, d_gate, angular, angular, slot + to.atom_gate, angular);
            add_changes(count, d_gate, angular, angular, slot + to.atom_gate_bias);
            multiply<T, Start::output>(2 * count, d_gate, angular, m_.blocks[k].angles.atom_gate_back, w_.d_nodes.begin() + first * 2 * n, n);
        });
    }

    // (7) and back: ∂v, begun with 1 + ε c_i.
    void read_out(int64_t first, int64_t last, Worker& s, T* slot) {
        const Readout<T>& readout = m_.readout[0];
        const int count = int(last - first), width = 2 * readout.first.hidden, n = m_.nodes, out = readout.layers.back().out;
        const T* v = w_.nodes[m_.num_blocks].begin() + first * 2 * n;
        T* x = s.readout.x[0].begin();
        multiply<T, Start::bias_of_even>(2 * count, v, n, readout.first.centre, x, width, {readout.first.bias.begin()});
        mlp_forward<T, true>(readout.layers, count, s.readout);
        for (int i = 0; i < count; ++i) {
            const double scale = m_.scale[g_.element[first + i]];
            Dual<T> d{};  // of the one number that there is; the others are padding
            d.a[0] = T(scale), d.b[0] = T(scale * d_energies_[first + i]);
            T *core = s.readout.core.begin() + i * 2 * out, *gate = s.readout.gate.begin() + i * 2 * out;
            const Dual<T> c = load_dual(core, out), share = sigmoid(load_dual(gate, out));
            store_dual(core, out, d * share);
            store_dual(gate, out, d * c * share * one_minus(share));
        }
        mlp_backward(readout.layers, to_.readout, count, s.readout, slot);
        outer(count, v, n, n, x, width, width, slot + to_.readout.centre, width);
        add_changes(count, x, width, width, slot + to_.readout.bias);
        multiply<T, Start::zero>(2 * count, x, width, readout.first.centre_back, w_.d_nodes.begin() + first * 2 * n, n);
    }

    // ------------------------------------------------------------------------------------------- tiles

    T* of(Buffer<T>& edges, const Tile& tile) { return edges.begin() + tile.first_bond * 2 * m_.edges; }

    DualBonds<T> bonds(const Tile& tile, const T* edges, const Buffer<T>& centre_part, const Buffer<T>& neighbour_part, int width, Worker& s) {
        const int count = int(tile.bonds());
        for (int r = 0; r < count; ++r)
            for (int row = 0; row < 2; ++row) {
                const int64_t b = tile.first_bond + r;
                s.centre_part[2 * r + row] = centre_part.begin() + (2 * g_.centre[b] + row) * width;
                s.neighbour_part[2 * r + row] = neighbour_part.begin() + (2 * g_.neighbour[b] + row) * width;
            }
        return {count, edges, w_.basis.begin() + tile.first_bond * 2 * m_.edge_basis.count(), s.centre_part.data(), s.neighbour_part.data()};
    }

    DualBonds<T> for_bonds(const Tile& tile, const T* edges, Worker& s) {
        return bonds(tile, edges, w_.bond_centre, w_.bond_neighbour, bond_width_, s);
    }

    DualBonds<T> for_atoms(const Tile& tile, const T* edges, Worker& s) {
        return bonds(tile, edges, w_.atom_centre, w_.atom_neighbour, atom_width_, s);
    }

    void set_gates(const Tile& tile, Worker& s) {
        for (int64_t a = 0; a < tile.angles(); ++a) {
            const int64_t b = g_.angle[tile.first_angle + a];
            const int64_t atom = m_.gated_by_end ? g_.neighbour[b] : g_.centre[b];
            s.gates[a] = w_.gate.begin() + atom * 2 * m_.angular;
            s.d_gates[a] = m_.gated_by_end ? row(p_.row[b]) + 2 * (bond_width_ + atom_width_) : w_.d_gate.begin() + atom * 2 * m_.angular;
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

    // v after a block whose messages went to the far ends of the bonds.
    void sum_far_messages(int k) {
        if (m_.onto_centre) return;
        const int width = 2 * m_.nodes;
        by_atom([&](int64_t first, int64_t last, Worker& s, T*) {
            for (int64_t i = first; i < last; ++i) {
                sum_rows(i, 0, width, s.sums.begin());
                T* after = w_.nodes[k + 1].begin() + i * width;
                for (int f = 0; f < width; f += LANES<T>) store(after + f, load(after + f) + load(s.sums.begin() + f));
            }
        });
    }

    void bond_backward(int k, const Tile& tile, Worker& s, T* slot) {
        T* d_edges = of(w_.d_edges, tile);
        for (int64_t r = 0; r < tile.bonds(); ++r) s.d_message[r] = d_edges + r * 2 * m_.edges;
        const DualEnds<T> ends = begin(tile, w_.d_bond_centre, bond_width_, 0, s);
        dual_update_backward(m_.blocks[k].bond, to_.blocks[k].bond, for_bonds(tile, of(w_.after_angles[k], tile), s), s.bond, ends, slot);
    }

    void atom_backward(int k, const Tile& tile, Worker& s, T* slot) {
        for (int64_t r = 0; r < tile.bonds(); ++r) {
            const int64_t b = tile.first_bond + r;
            s.d_message[r] = w_.d_nodes.begin() + (m_.onto_centre ? g_.centre[b] : g_.neighbour[b]) * 2 * m_.nodes;
        }
        const DualEnds<T> ends = begin(tile, w_.d_atom_centre, atom_width_, 2 * bond_width_, s);
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
        sum_far_messages(k);
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

    // Atoms before bonds: the bonds of the last block are never heard of again.
    void forward_atom_first(int k) {
        atom_parts_and_gate(k, w_.nodes[k]);
        by_tile([&](const Tile& tile, Worker& s, T*) {
            angles_forward(k, tile, s);
            atom_forward(k, tile, of(w_.after_angles[k], tile), s);
        }, !m_.onto_centre);
        sum_far_messages(k);
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

    static constexpr int MOST_FUNCTIONS = 512;

    const Model<T>& m_;
    const Graph& g_;
    const Partition p_;
    DualWorkspace<T>& w_;
    Gradients<T>& to_;
    const DualAngles<T> angles_;
    const int threads_;
    const double *const d_energies_, *const d_gradient_;
    int bond_width_, atom_width_, row_width_, atom_pieces_, slots_;
};

}  // namespace tribond
