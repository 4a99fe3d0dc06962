// One evaluation: forward and backward through all blocks, a tile of bonds at a time.
//
// What the backward pass needs of a tile is kept from the forward pass, as far as there is room for it. Of the other tiles,
// e_ij after (3) of each block is kept, and the rest computed again while the tile is in the cache. In the backward pass ∂e_ij
// takes the place of the e_ij of the last block. Where atoms sum messages over bonds of their own, the last block goes
// forward and backward in one go and computes nothing twice.
#pragma once

#include "engine/pass_atoms.hpp"

namespace tribond::INSTRUCTION_SET {

constexpr size_t FAR_BYTES = size_t(32) << 20;  // of traces: more would drive everything else out of the caches

template <class T> class Pass : PassAtoms<T> {
    using Base = PassAtoms<T>;
    using typename Base::Worker;
    using Base::m_, Base::g_, Base::p_, Base::w_, Base::threads_, Base::bond_width_, Base::atom_width_, Base::row_width_;
    using Base::by_tile, Base::by_atom, Base::bond_parts, Base::atom_parts_and_gate, Base::gates, Base::all_parts;
    using Base::bond_parts_backward, Base::atom_parts_and_gate_backward, Base::all_parts_backward, Base::read_out;
    using Base::sum_far_messages, Base::clear_if, Base::fetch, Base::send_back, Base::clear_ghosts;

public:
    // trace_bytes: what the derivatives of the activations may take, so that the backward pass computes nothing twice.
    Pass(const Model<T>& model, const Graph& graph, Workspace<T>& workspace, int threads, size_t trace_bytes)
        : Base(model, graph, workspace, threads), angles_(model) {
        trace_numbers_ = Trace<T>::numbers(m_.blocks[0].bond) + Trace<T>::numbers(m_.blocks[0].atom);
        fused_ = m_.onto_centre;
        make_room(trace_bytes);
    }

    // Energy of every owned atom (eV) and dE/dr of every bond (eV/Å).
    void run(double* energies, double* gradient) {
        this->energies_ = energies;
        by_tile([&](const Tile& tile, Worker&) { w_.bases.set(m_, g_, tile); });
        by_atom([&](int64_t first, int64_t last, Worker&) {
            for (int64_t i = first; i < last; ++i)
                std::copy_n(m_.embedding.begin() + g_.element[i] * m_.nodes, m_.nodes, w_.nodes[0].begin() + i * m_.nodes);
        });
        const int last = m_.num_blocks - 1;
        for (int k = 0; k < m_.num_blocks; ++k) {
            if (k == last && fused_) break;
            m_.atom_first ? forward_atom_first(k) : forward(k);
        }
        if (!fused_) {
            by_atom([&](int64_t first, int64_t end, Worker& s) {
                read_out(first, end, w_.nodes[m_.num_blocks].begin() + first * m_.nodes, s);
            });
        }
        for (int k = last; k >= 0; --k) m_.atom_first ? backward_atom_first(k) : backward(k);
        by_tile([&](const Tile& tile, Worker&) { w_.bases.assemble(m_, g_, tile, gradient); });
    }

private:
    void make_room(size_t trace_bytes) {
        const size_t atoms = g_.atoms, bonds = g_.bonds, angles = g_.angles, rows = p_.rows.size();
        share_traces(trace_bytes);
        w_.nodes.resize(m_.num_blocks + 1), w_.edges.resize(m_.num_blocks);
        for (auto& it : w_.nodes) it.resize(atoms * m_.nodes);
        for (int place = 0; place < m_.num_blocks; ++place)
            w_.edges[place].resize(place <= edges_place_.back() ? bonds * m_.edges : 0);
        w_.bases.resize(m_, bonds, angles);
        w_.d_nodes.resize(atoms * m_.nodes);
        w_.bond_centre.resize(atoms * bond_width_), w_.bond_neighbour.resize(atoms * bond_width_);
        w_.atom_centre.resize(atoms * atom_width_), w_.atom_neighbour.resize(atoms * atom_width_);
        w_.d_bond_centre.resize(atoms * bond_width_), w_.d_atom_centre.resize(atoms * atom_width_);
        w_.gate.resize(atoms * m_.angular), w_.d_gate.resize(atoms * m_.angular);
        w_.rows.resize(rows * row_width_);
        if (int(w_.workers.size()) < threads_) w_.workers.resize(threads_);
        for (Worker& s : w_.workers) {
            const size_t b = p_.most_bonds, a = p_.most_angles;
            s.bond.resize(m_.blocks[0].bond), s.atom.resize(m_.blocks[0].atom), s.trace.resize(b * trace_numbers_);
            s.angles.resize(m_, p_.most_atoms, a);
            s.edges.resize(b * m_.edges);
            s.nowhere.resize(m_.nodes);
            std::fill_n(s.nowhere.begin(), m_.nodes, T(0));
            for (auto* it : {&s.centre_part, &s.neighbour_part, &s.before, &s.d_message}) it->resize(b);
            for (auto* it : {&s.after, &s.d_centre_part, &s.d_neighbour_part}) it->resize(b);
            s.gates.resize(a), s.d_gates.resize(a);
            const size_t some = std::max<size_t>(ATOMS_AT_ONCE, p_.most_atoms);
            s.sums.resize(some * std::max<size_t>(row_width_, m_.nodes));
            s.readout.resize(m_.readout[0], some);
        }
    }

    // Which tiles have traces, the first ones of the first blocks, and where e_ij of every block is: what has a trace is not
    // computed again and needs no e_ij, so that the next block takes its place.
    void share_traces(size_t trace_bytes) {
        const size_t of_bond = trace_numbers_ * sizeof(T);
        size_t room = trace_bytes / of_bond, traced = 0;  // bonds
        w_.traces.resize(m_.num_blocks - 1);
        edges_place_.assign(1, 0);
        for (auto& traces : w_.traces) {
            const auto tile = std::find_if(p_.tiles.begin(), p_.tiles.end(), [=](const Tile& t) { return size_t(t.last_bond) > room; });
            const int64_t bonds = tile == p_.tiles.end() ? g_.bonds : tile->first_bond;
            traces.resize(bonds * trace_numbers_);
            room -= bonds, traced += bonds;
            edges_place_.push_back(edges_place_.back() + (bonds < g_.bonds));
        }
        far_ = traced * of_bond > FAR_BYTES;
    }

    // ------------------------------------------------------------------------------------------- tiles

    T* edges_of(int k, const Tile& tile) { return w_.edges[edges_place_[k]].begin() + tile.first_bond * m_.edges; }

    Bonds<T> bonds(const Tile& tile, const T* edges, const Buffer<T>& centre_part, const Buffer<T>& neighbour_part, int width, Worker& s) {
        const int count = int(tile.bonds()), basis = m_.edge_basis.count();
        for (int r = 0; r < count; ++r) {
            const int64_t b = tile.first_bond + r;
            s.centre_part[r] = centre_part.begin() + g_.centre[b] * width;
            s.neighbour_part[r] = neighbour_part.begin() + g_.neighbour[b] * width;
        }
        return {count, edges, w_.bases.basis.begin() + tile.first_bond * basis, w_.bases.slopes.begin() + tile.first_bond * basis,
                s.centre_part.data(), s.neighbour_part.data()};
    }

    void set_gates(const Tile& tile, Worker& s) {
        for (int64_t a = 0; a < tile.angles(); ++a) {
            const int64_t b = g_.angle[tile.first_angle + a];
            s.gates[a] = w_.gate.begin() + (m_.gated_by_end ? g_.neighbour[b] : g_.centre[b]) * m_.angular;
        }
    }

    // (2), (3) in place.
    void angles_forward(int k, const Tile& tile, Worker& s) {
        set_gates(tile, s);
        angles_.forward(m_.blocks[k].angles, g_, p_, tile, w_.bases.angles, s.gates.data(), s.angles, edges_of(k, tile));
    }

    // The same, with `angles_backward` of this tile to follow.
    void angles_forward_and_keep(int k, const Tile& tile, Worker& s) {
        set_gates(tile, s);
        angles_.forward_for_backward(m_.blocks[k].angles, g_, p_, tile, w_.bases.angles, s.gates.data(), s.angles, edges_of(k, tile));
    }

    // What `angles_backward` needs of a tile whose e_ij are past (3).
    void angles_keep(int k, const Tile& tile, Worker& s) {
        set_gates(tile, s);
        angles_.again(m_.blocks[k].angles, p_, tile, w_.bases.angles, s.gates.data(), s.angles);
    }

    void angles_backward(int k, const Tile& tile, const T* d_edges, Worker& s) {
        if (!m_.gated_by_end)
            std::fill_n(w_.d_gate.begin() + tile.first_atom * m_.angular, tile.atoms() * m_.angular, T(0));
        for (int64_t a = 0; a < tile.angles(); ++a) {
            const int64_t b = g_.angle[tile.first_angle + a];
            s.d_gates[a] = m_.gated_by_end ? w_.rows.begin() + size_t(p_.row[b]) * row_width_ + bond_width_ + atom_width_
                                           : w_.d_gate.begin() + g_.centre[b] * m_.angular;
        }
        angles_.backward(m_.blocks[k].angles, g_, p_, tile, w_.bases.angles, s.gates.data(), s.angles, d_edges, s.d_gates.data(),
                         w_.bases.d_length.begin() + tile.first_bond);
    }

    // Where the backward pass through both updates finds what it needs of a tile: kept from the forward pass, or made again.
    bool traced(int k, const Tile& tile) const {
        return k + 1 < m_.num_blocks && size_t(tile.last_bond) * trace_numbers_ <= w_.traces[k].size();
    }

    bool all_traced(int k) const { return k + 1 < m_.num_blocks && size_t(g_.bonds) * trace_numbers_ == w_.traces[k].size(); }

    T* trace_memory(int k, const Tile& tile, Worker& s) {
        return traced(k, tile) ? w_.traces[k].begin() + tile.first_bond * trace_numbers_ : s.trace.begin();
    }

    // That of the atom update lies first: it is read first.
    Trace<T> atom_trace(int k, const Tile& tile, Worker& s) {
        return {m_.blocks[k].atom, trace_memory(k, tile, s), far_ && traced(k, tile)};
    }

    Trace<T> bond_trace(int k, const Tile& tile, Worker& s) {
        T* memory = trace_memory(k, tile, s) + tile.bonds() * Trace<T>::numbers(m_.blocks[k].atom);
        return {m_.blocks[k].bond, memory, far_ && traced(k, tile)};
    }

    void update(const Update<T>& update, const Bonds<T>& b, UpdateScratch<T>& scratch, const Trace<T>* trace, Worker& s) {
        const T* const* before = s.before.data();
        T* const* after = s.after.data();
        if (trace != nullptr) update_forward<T, true>(update, b, scratch, trace, before, after);
        else update_forward<T, false>(update, b, scratch, trace, before, after);
    }

    // e_ij + message of (4).
    void bond_forward(int k, const Tile& tile, T* after, const Trace<T>* trace, Worker& s) {
        const T* before = edges_of(k, tile);
        for (int64_t r = 0; r < tile.bonds(); ++r) s.before[r] = before + r * m_.edges, s.after[r] = after + r * m_.edges;
        update(m_.blocks[k].bond, bonds(tile, before, w_.bond_centre, w_.bond_neighbour, bond_width_, s), s.bond, trace, s);
    }

    // (5): the messages of a tile summed onto v_i in `nodes`, which hold v before, or into rows of the far ends; or, without
    // `nodes`, for their trace alone.
    void atom_forward(int k, const Tile& tile, const T* edges, T* nodes, const Trace<T>* trace, Worker& s) {
        for (int64_t r = 0; r < tile.bonds(); ++r) {
            const int64_t b = tile.first_bond + r;
            if (nodes == nullptr) s.after[r] = s.nowhere.begin();
            else if (m_.onto_centre) s.after[r] = nodes + (g_.centre[b] - tile.first_atom) * m_.nodes;
            else s.after[r] = w_.rows.begin() + size_t(p_.row[b]) * row_width_;
            s.before[r] = s.after[r];
        }
        update(m_.blocks[k].atom, bonds(tile, edges, w_.atom_centre, w_.atom_neighbour, atom_width_, s), s.atom, trace, s);
    }

    void bond_backward(int k, const Tile& tile, const Trace<T>& trace, T* d_edges, Worker& s) {
        std::fill_n(w_.d_bond_centre.begin() + tile.first_atom * bond_width_, tile.atoms() * bond_width_, T(0));
        for (int64_t r = 0; r < tile.bonds(); ++r) {
            const int64_t b = tile.first_bond + r;
            s.d_message[r] = d_edges + r * m_.edges;
            s.d_centre_part[r] = w_.d_bond_centre.begin() + g_.centre[b] * bond_width_;
            s.d_neighbour_part[r] = w_.rows.begin() + size_t(p_.row[b]) * row_width_;
        }
        update_backward(m_.blocks[k].bond, int(tile.bonds()), trace, s.bond, s.d_message.data(), d_edges,
                        s.d_centre_part.data(), s.d_neighbour_part.data(), w_.bases.d_length.begin() + tile.first_bond);
    }

    void atom_backward(int k, const Tile& tile, const Trace<T>& trace, T* d_edges, Worker& s) {
        std::fill_n(w_.d_atom_centre.begin() + tile.first_atom * atom_width_, tile.atoms() * atom_width_, T(0));
        for (int64_t r = 0; r < tile.bonds(); ++r) {
            const int64_t b = tile.first_bond + r;
            s.d_message[r] = w_.d_nodes.begin() + (m_.onto_centre ? g_.centre[b] : g_.neighbour[b]) * m_.nodes;
            s.d_centre_part[r] = w_.d_atom_centre.begin() + g_.centre[b] * atom_width_;
            s.d_neighbour_part[r] = w_.rows.begin() + size_t(p_.row[b]) * row_width_ + bond_width_;
        }
        update_backward(m_.blocks[k].atom, int(tile.bonds()), trace, s.atom, s.d_message.data(), d_edges,
                        s.d_centre_part.data(), s.d_neighbour_part.data(), w_.bases.d_length.begin() + tile.first_bond);
    }

    // v of a tile's atoms from before the block to after: `nodes` starts as a copy.
    T* copy_nodes(int k, const Tile& tile, T* to) {
        std::copy_n(w_.nodes[k].begin() + tile.first_atom * m_.nodes, tile.atoms() * m_.nodes, to);
        return to;
    }

    T* nodes_after(int k, const Tile& tile) { return copy_nodes(k, tile, w_.nodes[k + 1].begin() + tile.first_atom * m_.nodes); }

    void forward(int k) {
        all_parts(k, w_.nodes[k]);
        by_tile([&](const Tile& tile, Worker& s) {
            if (k == 0) w_.bases.embed(m_, tile, edges_of(0, tile));
            angles_forward(k, tile, s);
            const Trace<T> bond = bond_trace(k, tile, s), atom = atom_trace(k, tile, s);
            T* after = k + 1 < m_.num_blocks ? edges_of(k + 1, tile) : s.edges.begin();
            bond_forward(k, tile, after, traced(k, tile) ? &bond : nullptr, s);
            atom_forward(k, tile, after, nodes_after(k, tile), traced(k, tile) ? &atom : nullptr, s);
        }, clear_if(!m_.onto_centre));
        if (!m_.onto_centre) sum_far_messages(k);
        if (k + 1 < m_.num_blocks) fetch(w_.nodes[k + 1]);
    }

    void backward(int k) {
        const bool last = k + 1 == m_.num_blocks, forward_too = last && fused_;
        if (forward_too || (!last && !all_traced(k))) all_parts(k, w_.nodes[k]);
        else if (!last) gates(k, w_.nodes[k]);
        if (!m_.onto_centre) fetch(w_.d_nodes);  // the messages went there
        by_tile([&](const Tile& tile, Worker& s) {
            const Trace<T> bond = bond_trace(k, tile, s), atom = atom_trace(k, tile, s);
            if (forward_too) {
                if (k == 0) w_.bases.embed(m_, tile, edges_of(0, tile));
                angles_forward_and_keep(k, tile, s);
            }
            if (!traced(k, tile)) {
                bond_forward(k, tile, s.edges.begin(), &bond, s);
                T* nodes = forward_too ? copy_nodes(k, tile, s.sums.begin()) : nullptr;
                atom_forward(k, tile, s.edges.begin(), nodes, &atom, s);
                if (forward_too) read_out(tile.first_atom, tile.last_atom, nodes, s);
            }
            T* d_edges = edges_of(m_.num_blocks - 1, tile);
            if (last) std::fill_n(d_edges, tile.bonds() * m_.edges, T(0));
            atom_backward(k, tile, atom, d_edges, s);
            bond_backward(k, tile, bond, d_edges, s);
            if (!forward_too) angles_keep(k, tile, s);
            angles_backward(k, tile, d_edges, s);
            if (k == 0) w_.bases.embed_backward(m_, tile, d_edges);
        }, clear_if(true));
        if (k == 0) return;  // the first v are constants
        if (!m_.onto_centre) clear_ghosts(w_.d_nodes);
        all_parts_backward(k);
        send_back(w_.d_nodes);
        clear_ghosts(w_.d_nodes);
    }

    // Atoms before bonds: nothing reads the bonds of the last block.
    void forward_atom_first(int k) {
        atom_parts_and_gate(k, w_.nodes[k]);
        by_tile([&](const Tile& tile, Worker& s) {
            if (k == 0) w_.bases.embed(m_, tile, edges_of(0, tile));
            angles_forward(k, tile, s);
            const Trace<T> trace = atom_trace(k, tile, s);
            atom_forward(k, tile, edges_of(k, tile), nodes_after(k, tile), traced(k, tile) ? &trace : nullptr, s);
        }, clear_if(!m_.onto_centre));
        if (!m_.onto_centre) sum_far_messages(k);
        if (k + 1 == m_.num_blocks) return;
        fetch(w_.nodes[k + 1]);
        bond_parts(k, w_.nodes[k + 1]);
        by_tile([&](const Tile& tile, Worker& s) {
            const Trace<T> trace = bond_trace(k, tile, s);
            bond_forward(k, tile, edges_of(k + 1, tile), traced(k, tile) ? &trace : nullptr, s);
        });
    }

    void backward_atom_first(int k) {
        const bool last = k + 1 == m_.num_blocks, forward_too = last && fused_;
        if (!last) {
            if (!all_traced(k)) bond_parts(k, w_.nodes[k + 1]);
            by_tile([&](const Tile& tile, Worker& s) {
                const Trace<T> trace = bond_trace(k, tile, s);
                if (!traced(k, tile)) bond_forward(k, tile, s.edges.begin(), &trace, s);
                bond_backward(k, tile, trace, edges_of(m_.num_blocks - 1, tile), s);
            }, clear_if(true));
            bond_parts_backward(k);
            send_back(w_.d_nodes);
            clear_ghosts(w_.d_nodes);
        }
        if (!m_.onto_centre) fetch(w_.d_nodes);
        all_traced(k) ? gates(k, w_.nodes[k]) : atom_parts_and_gate(k, w_.nodes[k]);
        by_tile([&](const Tile& tile, Worker& s) {
            const Trace<T> trace = atom_trace(k, tile, s);
            if (forward_too) {
                if (k == 0) w_.bases.embed(m_, tile, edges_of(0, tile));
                angles_forward_and_keep(k, tile, s);
            }
            if (!traced(k, tile)) {
                T* nodes = forward_too ? copy_nodes(k, tile, s.sums.begin()) : nullptr;
                atom_forward(k, tile, edges_of(k, tile), nodes, &trace, s);
                if (forward_too) read_out(tile.first_atom, tile.last_atom, nodes, s);
            }
            T* d_edges = edges_of(m_.num_blocks - 1, tile);
            if (last) std::fill_n(d_edges, tile.bonds() * m_.edges, T(0));
            atom_backward(k, tile, trace, d_edges, s);
            if (!forward_too) angles_keep(k, tile, s);
            angles_backward(k, tile, d_edges, s);
            if (k == 0) w_.bases.embed_backward(m_, tile, d_edges);
        }, clear_if(true));
        if (k == 0) return;
        if (!m_.onto_centre) clear_ghosts(w_.d_nodes);
        atom_parts_and_gate_backward(k);
    }

    const Angles<T> angles_;
    size_t trace_numbers_;
    std::vector<int> edges_place_;  // (blocks,) which buffer has e_ij before each
    bool fused_;  // the last block goes forward and backward in one go
    bool far_ = false;  // the traces are more than the caches hold
};

}  // namespace tribond::INSTRUCTION_SET
