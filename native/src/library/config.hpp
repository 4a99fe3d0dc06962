// The settings of a model that decide what the engine computes; names and meanings are those of nn/config.py.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "library/json.hpp"

namespace tribond {

struct Config {
    std::vector<int> elements;  // atomic numbers, in the order of the embedding's rows
    double cutoff = 5.0, threebody_cutoff = 4.0;  // Å
    int max_n = 3, max_l = 3, num_blocks = 3, node_features = 64, edge_features = 64;
    std::vector<int> update_hidden{64}, readout_hidden{64, 64};
    bool smooth_edge_basis = true, smooth_angle_basis = false;
    bool gated_by_end = true, onto_centre = true, atom_first = false, silu_scale = true;
    bool edge_gate_bias = false, bond_embedding_bias = false;
    bool repulsion = false;
    double repulsion_inner = 0.2, repulsion_outer = 0.5;  // of the sum of covalent radii

    int angular() const { return max_l * max_n; }
    int edge_basis() const { return smooth_edge_basis ? max_n : max_n * max_l; }

    // Throws Error: TRIBOND_UNSUPPORTED for models in order that the engine does not compute, TRIBOND_BAD_FILE for nonsense.
    static Config from(const Json& settings);
};

}  // namespace tribond
