// Memory of an evaluation, kept from one to the next.
#pragma once

#include "engine/bond_bases.hpp"
#include "engine/readout.hpp"

namespace tribond::INSTRUCTION_SET {

template <class T> struct Workspace {
    struct Worker {
        UpdateScratch<T> bond, atom;
        AngleScratch<T> angles;
        Buffer<T> edges, trace;  // of a tile
        Buffer<T> nowhere;       // a row for what nobody asks for
        std::vector<const T*> centre_part, neighbour_part, before, d_message, gates;
        std::vector<T*> after, d_centre_part, d_neighbour_part, d_gates;
        ReadoutScratch<T> readout;
        Buffer<T> sums;  // of some atoms
    };

    std::vector<Worker> workers;
    std::vector<Buffer<T>> nodes, edges;  // before every block and after the last; after (3), see Pass::share_traces
    std::vector<Buffer<T>> traces;        // of the first tiles of each block, as many as there is room for
    BondBases<T> bases;
    Buffer<T> d_nodes;
    // W₁ v_i + b and W₂ v_j of the bond and the atom update, σ(W_v v + b_v); then the derivatives: by W₁ v_i + b and
    // σ(...) of an atom itself, and what the parts add to atoms at the far ends of their bonds.
    Buffer<T> bond_centre, bond_neighbour, atom_centre, atom_neighbour, gate;
    Buffer<T> d_bond_centre, d_atom_centre, d_gate, rows;
};

}  // namespace tribond::INSTRUCTION_SET
