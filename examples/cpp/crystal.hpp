// A crystal, and its bonds as a package of `tribond export` wants them.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

using Vector = std::array<double, 3>;

struct Crystal {
  std::array<Vector, 3> cell;  // Å, rows are a, b, c
  std::vector<Vector> positions;  // Å
  std::vector<std::int64_t> atomic_numbers;
};

struct Bonds {
  std::vector<std::int64_t> centre, neighbour;
  std::vector<Vector> shift;  // Å, from the neighbour in the cell to the image that is bonded
  std::vector<std::int64_t> of_angles;  // bonds shorter than the three-body cutoff, counted from 0
};

// Eight silicon atoms in a cube, each moved a little, so that there are forces.
Crystal silicon();

// All bonds shorter than the cutoff, both directions. Every pair of atoms is looked at: for a few atoms.
Bonds find_bonds(const Crystal& crystal, double cutoff, double threebody_cutoff);
