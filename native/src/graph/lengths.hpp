// How long a pair of atoms is, to the last bit as graph/bond_list.py has it: the same sums and products in the same order.
// What includes this is compiled without contraction of a product and a sum into one operation (see build.json).
#pragma once

#include "common/instruction_set.hpp"

namespace tribond::INSTRUCTION_SET {

// |r_j + S·cell - r_i|², from r_j - r_i and S·cell; as in BondList.squared_lengths.
inline double squared_length(const double* difference, double x, double y, double z) {
    const double dx = difference[0] + x, dy = difference[1] + y, dz = difference[2] + z;
    return (dx * dx + dy * dy) + dz * dz;
}

}  // namespace tribond::INSTRUCTION_SET
