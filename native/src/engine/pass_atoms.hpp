// What a pass does atom by atom, and how it shares out its work.
#pragma once

#include <functional>

#include "common/threads.hpp"
#include "engine/workspace.hpp"

namespace tribond::INSTRUCTION_SET {

constexpr int64_t ATOMS_AT_ONCE = 32;  // in work that is done atom by atom

struct ExchangeFailed {};

template <class T> class PassAtoms {
protected:
    using Worker = typename Workspace<T>::Worker;

    PassAtoms(const Model<T>& model, const Graph& graph, Workspace<T>& workspace, int threads)
        : m_(model), g_(graph), p_(graph), w_(workspace), threads_(threads) {
        bond_width_ = 2 * m_.blocks[0].bond.first.hidden, atom_width_ = 2 * m_.blocks[0].atom.first.hidden;
        row_width_ = std::max(bond_width_ + atom_width_ + m_.angular, m_.nodes);  // messages in the forward pass, too
    }

    // ------------------------------------------------------------------------------------------- sharing out

    void by_tile(const std::function<void(const Tile&, Worker&)>& work, const std::function<void(const Part&)>& before = {}) {
        share_out(int(p_.parts.size()), threads_, [&](int piece, int worker) {
            const Part& part = p_.parts[piece];
            if (before) before(part);
            for (int t = part.first_tile; t < part.last_tile; ++t) work(p_.tiles[t], w_.workers[worker]);
            streamed();
        });
    }

    void by_atom(const std::function<void(int64_t, int64_t, Worker&)>& work) {
        const int pieces = int((g_.atoms + ATOMS_AT_ONCE - 1) / ATOMS_AT_ONCE);
        share_out(pieces, threads_, [&](int piece, int worker) {
            work(piece * ATOMS_AT_ONCE, std::min(g_.atoms, (piece + 1) * ATOMS_AT_ONCE), w_.workers[worker]);
        });
    }

    void clear_rows(const Part& part) {
        std::fill_n(w_.rows.begin() + size_t(part.first_row) * row_width_, size_t(part.last_row - part.first_row) * row_width_, T(0));
    }

    std::function<void(const Part&)> clear_if(bool wanted) {
        if (!wanted) return {};
        return [this](const Part& part) { clear_rows(part); };
    }

    // ------------------------------------------------------------------------------------------- atoms

    void bond_parts(int k, const Buffer<T>& nodes) {
        by_atom([&](int64_t first, int64_t last, Worker&) {
            parts(m_.blocks[k].bond.first, nodes, first, last, w_.bond_centre, w_.bond_neighbour);
        });
    }

    void atom_parts_and_gate(int k, const Buffer<T>& nodes) {
        by_atom([&](int64_t first, int64_t last, Worker&) { atom_parts_and_gate(k, nodes, first, last); });
    }

    void gates(int k, const Buffer<T>& nodes) {
        by_atom([&](int64_t first, int64_t last, Worker&) { gates(k, nodes, first, last); });
    }

    void all_parts(int k, const Buffer<T>& nodes) {
        by_atom([&](int64_t first, int64_t last, Worker&) {
            parts(m_.blocks[k].bond.first, nodes, first, last, w_.bond_centre, w_.bond_neighbour);
            atom_parts_and_gate(k, nodes, first, last);
        });
    }

    void parts(const FirstLayer<T>& layer, const Buffer<T>& nodes, int64_t first, int64_t last, Buffer<T>& centre,
               Buffer<T>& neighbour) {
        const int rows = int(last - first), width = 2 * layer.hidden;
        const T* v = nodes.begin() + first * m_.nodes;
        multiply<T, Start::bias>(rows, v, m_.nodes, layer.centre, centre.begin() + first * width, width, {layer.bias.begin()});
        multiply<T, Start::zero>(rows, v, m_.nodes, layer.neighbour, neighbour.begin() + first * width, width);
    }

    void atom_parts_and_gate(int k, const Buffer<T>& nodes, int64_t first, int64_t last) {
        parts(m_.blocks[k].atom.first, nodes, first, last, w_.atom_centre, w_.atom_neighbour);
        gates(k, nodes, first, last);
    }

    void gates(int k, const Buffer<T>& nodes, int64_t first, int64_t last) {
        constexpr int W = LANES<T>;
        const ThreeBody<T>& angles = m_.blocks[k].angles;
        T* gate = w_.gate.begin() + first * m_.angular;
        const T* v = nodes.begin() + first * m_.nodes;
        multiply<T, Start::bias>(int(last - first), v, m_.nodes, angles.atom_gate, gate, m_.angular, {angles.atom_gate_bias.begin()});
        for (int64_t i = 0; i < (last - first) * m_.angular; i += W) store(gate + i, sigmoid(load(gate + i)));
    }

    // What the parts of all tiles add up to for an atom, from `column` on.
    void sum_rows(int64_t atom, int column, int count, T* total) {
        constexpr int W = LANES<T>;
        std::fill_n(total, count, T(0));
        for (int64_t i = p_.rows_of[atom]; i < p_.rows_of[atom + 1]; ++i) {
            const T* row = w_.rows.begin() + size_t(p_.rows[i]) * row_width_ + column;
            for (int f = 0; f < count; f += W) store(total + f, load(total + f) + load(row + f));
        }
    }

    void bond_parts_backward(int k) {
        by_atom([&](int64_t first, int64_t last, Worker& s) {
            parts_backward(m_.blocks[k].bond.first, first, last, w_.d_bond_centre, 0, s);
        });
    }

    void atom_parts_and_gate_backward(int k) {
        by_atom([&](int64_t first, int64_t last, Worker& s) { atom_parts_and_gate_backward(k, first, last, s); });
    }

    void all_parts_backward(int k) {
        by_atom([&](int64_t first, int64_t last, Worker& s) {
            parts_backward(m_.blocks[k].bond.first, first, last, w_.d_bond_centre, 0, s);
            atom_parts_and_gate_backward(k, first, last, s);
        });
    }

    void parts_backward(const FirstLayer<T>& layer, int64_t first, int64_t last, const Buffer<T>& d_centre, int column, Worker& s) {
        const int rows = int(last - first), width = 2 * layer.hidden;
        T* d_nodes = w_.d_nodes.begin() + first * m_.nodes;
        for (int64_t i = first; i < last; ++i) sum_rows(i, column, width, s.sums.begin() + (i - first) * width);
        multiply<T, Start::output>(rows, d_centre.begin() + first * width, width, layer.centre_back, d_nodes, m_.nodes);
        multiply<T, Start::output>(rows, s.sums.begin(), width, layer.neighbour_back, d_nodes, m_.nodes);
    }

    void atom_parts_and_gate_backward(int k, int64_t first, int64_t last, Worker& s) {
        constexpr int W = LANES<T>;
        parts_backward(m_.blocks[k].atom.first, first, last, w_.d_atom_centre, bond_width_, s);
        T* d_gate = w_.d_gate.begin();
        for (int64_t i = first; i < last; ++i) {
            if (m_.gated_by_end) sum_rows(i, bond_width_ + atom_width_, m_.angular, d_gate + i * m_.angular);
            for (int f = 0; f < m_.angular; f += W) {
                const size_t at = i * m_.angular + f;
                const Vec<T> share = load(w_.gate.begin() + at);
                store(d_gate + at, load(d_gate + at) * share * (T(1) - share));
            }
        }
        multiply<T, Start::output>(int(last - first), d_gate + first * m_.angular, m_.angular,
                                   m_.blocks[k].angles.atom_gate_back, w_.d_nodes.begin() + first * m_.nodes, m_.nodes);
    }

    // Ghosts have no energy.
    void read_out(int64_t first, int64_t last, const T* v, Worker& s) {
        const int64_t end = std::max(first, std::min(last, g_.owned));
        if (end > first)
            s.readout.run(m_, g_.element + first, int(end - first), v, energies_ + first, w_.d_nodes.begin() + first * m_.nodes);
        std::fill(w_.d_nodes.begin() + end * m_.nodes, w_.d_nodes.begin() + last * m_.nodes, T(0));
    }

    // ------------------------------------------------------------------------------------------- other processes

    // Rows of ghosts from their owners.
    void fetch(Buffer<T>& rows) {
        if (g_.exchange.forward == nullptr) return;
        if (g_.exchange.forward(g_.exchange.context, rows.begin(), m_.nodes) != 0) throw ExchangeFailed();
    }

    // Rows of ghosts added to their owners.
    void send_back(Buffer<T>& rows) {
        if (g_.exchange.reverse == nullptr) return;
        if (g_.exchange.reverse(g_.exchange.context, rows.begin(), m_.nodes) != 0) throw ExchangeFailed();
    }

    // What is in the rows of ghosts has been dealt with by their owners.
    void clear_ghosts(Buffer<T>& rows) {
        if (g_.exchange.reverse != nullptr) std::fill(rows.begin() + g_.owned * m_.nodes, rows.begin() + g_.atoms * m_.nodes, T(0));
    }

    // v after a block whose messages went to the far ends of the bonds; of atoms whose owner is another process, what goes
    // there.
    void sum_far_messages(int k) {
        constexpr int W = LANES<T>;
        const int64_t owned = g_.exchange.reverse != nullptr ? g_.owned : g_.atoms;
        by_atom([&](int64_t first, int64_t last, Worker&) {
            for (int64_t i = first; i < last; ++i) {
                const T* before = w_.nodes[k].begin() + i * m_.nodes;
                T* after = w_.nodes[k + 1].begin() + i * m_.nodes;
                sum_rows(i, 0, m_.nodes, after);
                if (i >= owned) continue;
                for (int f = 0; f < m_.nodes; f += W) store(after + f, load(after + f) + load(before + f));
            }
        });
        send_back(w_.nodes[k + 1]);
    }

    const Model<T>& m_;
    const Graph& g_;
    const Partition p_;
    Workspace<T>& w_;
    const int threads_;
    int bond_width_, atom_width_, row_width_;
    double* energies_ = nullptr;
};

}  // namespace tribond::INSTRUCTION_SET
