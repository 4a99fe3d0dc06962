// What a pass in dual numbers does atom by atom, and how it shares out its work.
#pragma once

#include <functional>

#include "training/dual_workspace.hpp"
#include "training/gradient.hpp"

namespace tribond::INSTRUCTION_SET {

constexpr int MOST_SLOTS = 16;

template <class T> class DualAtoms {
protected:
    using Worker = typename DualWorkspace<T>::Worker;

    DualAtoms(const Model<T>& model, const Graph& graph, DualWorkspace<T>& workspace, Gradients<T>& gradients, int threads)
        : m_(model), g_(graph), p_(graph), w_(workspace), to_(gradients), threads_(threads), width_(model),
          slots_(std::max(1, std::min<int>(MOST_SLOTS, p_.parts.size()))) {
        w_.resize(m_, g_, p_, threads_);
        to_.clear(slots_, threads_);
    }

    // ------------------------------------------------------------------------------------------- sharing out

    void by_tile(const std::function<void(const Tile&, Worker&, T*)>& work, bool clear_rows = false) {
        share_out(slots_, threads_, [&](int slot, int worker) {
            for (size_t number = slot; number < p_.parts.size(); number += slots_) {
                const Part& part = p_.parts[number];
                if (clear_rows)
                    std::fill_n(row(part.first_row), size_t(part.last_row - part.first_row) * width_.row, T(0));
                for (int t = part.first_tile; t < part.last_tile; ++t) work(p_.tiles[t], w_.workers[worker], to_.slot(slot));
            }
        });
    }

    void by_atom(const std::function<void(int64_t, int64_t, Worker&, T*)>& work) {
        share_out(slots_, threads_, [&](int slot, int worker) {
            for (int64_t first = slot * DUALS_AT_ONCE; first < g_.atoms; first += slots_ * DUALS_AT_ONCE)
                work(first, std::min(g_.atoms, first + DUALS_AT_ONCE), w_.workers[worker], to_.slot(slot));
        });
    }

    // Room of a part for what it adds to the atom at the far end of a bond.
    T* row(int64_t number) { return w_.rows.begin() + size_t(number) * width_.row; }

    // ------------------------------------------------------------------------------------------- atoms

    void embed_atoms(int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) {
            T* v = w_.nodes[0].begin() + i * 2 * m_.nodes;
            std::copy_n(m_.embedding.begin() + g_.element[i] * m_.nodes, m_.nodes, v);
            std::fill_n(v + m_.nodes, m_.nodes, T(0));
        }
    }

    void embed_atoms_backward(int64_t first, int64_t last, T* slot) {
        const int n = m_.nodes;
        for (int64_t i = first; i < last; ++i)
            add_changes(1, w_.d_nodes.begin() + i * 2 * n, n, n, slot + to_.embedding + g_.element[i] * n);
    }

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

    void parts(const FirstLayer<T>& layer, const Buffer<T>& nodes, int64_t first, int64_t last, Buffer<T>& of_centre,
               Buffer<T>& of_neighbour) {
        const int rows = 2 * int(last - first), width = 2 * layer.hidden;
        const T* v = nodes.begin() + first * 2 * m_.nodes;
        T *centre = of_centre.begin() + first * 2 * width, *neighbour = of_neighbour.begin() + first * 2 * width;
        multiply<T, Start::bias_of_even>(rows, v, m_.nodes, layer.centre, centre, width, {layer.bias.begin()});
        multiply<T, Start::zero>(rows, v, m_.nodes, layer.neighbour, neighbour, width);
    }

    void gates(int k, const Buffer<T>& nodes, int64_t first, int64_t last) {
        const ThreeBody<T>& angles = m_.blocks[k].angles;
        const int rows = 2 * int(last - first), angular = m_.angular;
        T* gate = w_.gate.begin() + first * 2 * angular;
        const T *v = nodes.begin() + first * 2 * m_.nodes, *bias = angles.atom_gate_bias.begin();
        multiply<T, Start::bias_of_even>(rows, v, m_.nodes, angles.atom_gate, gate, angular, {bias});
        for (int64_t i = first; i < last; ++i, gate += 2 * angular)
            for (int f = 0; f < angular; f += LANES<T>) store_dual(gate + f, angular, sigmoid(load_dual(gate + f, angular)));
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
            parts_backward(m_.blocks[k].atom.first, to_.blocks[k].atom.phi, nodes, first, last, w_.d_atom_centre,
                           2 * width_.bond, s, slot);
            const int n = m_.nodes, angular = m_.angular, count = int(last - first);
            T* d_gate = w_.d_gate.begin() + first * 2 * angular;
            const T* gate = w_.gate.begin() + first * 2 * angular;
            for (int i = 0; i < count; ++i) {
                if (m_.gated_by_end)
                    sum_rows(first + i, 2 * (width_.bond + width_.atom), 2 * angular, d_gate + i * 2 * angular);
                for (int f = 0; f < angular; f += LANES<T>) {
                    T* d = d_gate + i * 2 * angular + f;
                    const Dual<T> share = load_dual(gate + i * 2 * angular + f, angular);
                    store_dual(d, angular, load_dual(d, angular) * share * one_minus(share));
                }
            }
            const AnglePlaces& to = to_.blocks[k].angles;
            outer(count, nodes.begin() + first * 2 * n, n, n, d_gate, angular, angular, slot + to.atom_gate, angular);
            add_changes(count, d_gate, angular, angular, slot + to.atom_gate_bias);
            T* d_nodes = w_.d_nodes.begin() + first * 2 * n;
            multiply<T, Start::output>(2 * count, d_gate, angular, m_.blocks[k].angles.atom_gate_back, d_nodes, n);
        });
    }

    // (7) and back: ∂v, begun with 1 + ε c_i.
    void read_out(int64_t first, int64_t last, const double* d_energies, Worker& s, T* slot) {
        const Readout<T>& readout = m_.readout[0];
        const int count = int(last - first), width = 2 * readout.first.hidden, n = m_.nodes, out = readout.layers.back().out;
        const T* v = w_.nodes[m_.num_blocks].begin() + first * 2 * n;
        T* x = s.readout.x[0].begin();
        multiply<T, Start::bias_of_even>(2 * count, v, n, readout.first.centre, x, width, {readout.first.bias.begin()});
        mlp_forward<T, true>(readout.layers, count, s.readout);
        for (int i = 0; i < count; ++i) {
            const double scale = m_.scale[g_.element[first + i]];
            Dual<T> d{};  // of the one number that there is; the others are padding
            d.a[0] = T(scale), d.b[0] = T(scale * d_energies[first + i]);
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

    const Model<T>& m_;
    const Graph& g_;
    const Partition p_;
    DualWorkspace<T>& w_;
    Gradients<T>& to_;
    const int threads_;
    const DualWidths width_;
    const int slots_;
};

}  // namespace tribond::INSTRUCTION_SET
