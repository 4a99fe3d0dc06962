// Memory of a pass in dual numbers.
#pragma once

#include "training/dual_angles.hpp"
#include "training/dual_update.hpp"

namespace tribond::INSTRUCTION_SET {

// What the rows of an atom hold: W₁ v_i + b or W₂ v_j of the bond and of the atom update, and what the parts keep of it.
struct DualWidths {
    int bond, atom, row;

    template <class T> explicit DualWidths(const Model<T>& m) {
        bond = 2 * m.blocks[0].bond.first.hidden, atom = 2 * m.blocks[0].atom.first.hidden;
        row = 2 * std::max(bond + atom + m.angular, m.nodes);
    }
};

// Kept from one pass to the next. All arrays are in pairs of rows, see dual.hpp.
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

    void resize(const Model<T>& m, const Graph& g, const Partition& p, int threads) {
        const DualWidths width(m);
        const size_t atoms = g.atoms, bonds = g.bonds;
        nodes.resize(m.num_blocks + 1);
        for (auto& it : nodes) it.resize(atoms * 2 * m.nodes);
        after_angles.resize(m.num_blocks), after_bonds.resize(m.atom_first ? 0 : m.num_blocks);
        for (auto* list : {&after_angles, &after_bonds})
            for (auto& it : *list) it.resize(bonds * 2 * m.edges);
        basis.resize(bonds * 2 * m.edge_basis.count());
        d_edges.resize(bonds * 2 * m.edges), d_nodes.resize(atoms * 2 * m.nodes);
        angles.weight.resize(g.angles * 2 * m.angular), angles.envelope.resize(g.angles * 2);
        angles.y.resize(g.angles * 2 * m.max_l * m.max_l);
        for (auto* it : {&bond_centre, &bond_neighbour, &d_bond_centre}) it->resize(atoms * 2 * width.bond);
        for (auto* it : {&atom_centre, &atom_neighbour, &d_atom_centre}) it->resize(atoms * 2 * width.atom);
        for (auto* it : {&gate, &d_gate}) it->resize(atoms * 2 * m.angular);
        rows.resize(p.rows.size() * width.row);
        if (int(workers.size()) < threads) workers.resize(threads);
        for (Worker& s : workers) {
            const size_t b = p.most_bonds, a = p.most_angles;
            s.bond.resize(m.blocks[0].bond), s.atom.resize(m.blocks[0].atom);
            s.readout.resize(m.readout[0].layers, DUALS_AT_ONCE);
            s.angles.resize(m, a);
            s.message.resize(b * 2 * std::max(m.nodes, m.edges));
            for (auto* it : {&s.centre_part, &s.neighbour_part}) it->resize(2 * b);
            s.d_message.resize(b);
            for (auto* it : {&s.d_centre_part, &s.d_neighbour_part}) it->resize(b);
            s.gates.resize(a), s.d_gates.resize(a);
            s.sums.resize(DUALS_AT_ONCE * width.row);
        }
    }
};

}  // namespace tribond::INSTRUCTION_SET
