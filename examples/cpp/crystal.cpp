#include "crystal.hpp"

#include <cmath>

Crystal silicon() {
  const double a = 5.43;
  const std::array<Vector, 4> face_centres{{{0, 0, 0}, {0, 0.5, 0.5}, {0.5, 0, 0.5}, {0.5, 0.5, 0}}};
  Crystal crystal{{{{a, 0, 0}, {0, a, 0}, {0, 0, a}}}, {}, std::vector<std::int64_t>(8, 14)};
  for (const Vector& point : face_centres) {
    for (const double quarter : {0.0, 0.25}) {
      const double i = crystal.positions.size();
      crystal.positions.push_back({a * (point[0] + quarter) + 0.1 * std::sin(3 * i),
                                   a * (point[1] + quarter) + 0.1 * std::cos(5 * i),
                                   a * (point[2] + quarter) + 0.1 * std::sin(7 * i + 1)});
    }
  }
  return crystal;
}

static Vector cross(const Vector& u, const Vector& v) {
  return {u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]};
}

static double dot(const Vector& u, const Vector& v) { return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]; }

Bonds find_bonds(const Crystal& crystal, double cutoff, double threebody_cutoff) {
  // As many cells each way as a bond can cross, and one more, for atoms may lie outside the cell.
  const auto& cell = crystal.cell;
  std::array<int, 3> most;
  for (int axis = 0; axis < 3; ++axis) {
    const Vector normal = cross(cell[(axis + 1) % 3], cell[(axis + 2) % 3]);
    most[axis] = static_cast<int>(cutoff * std::sqrt(dot(normal, normal)) / std::abs(dot(normal, cell[axis]))) + 2;
  }
  Bonds bonds;
  const auto num_atoms = static_cast<std::int64_t>(crystal.positions.size());
  for (std::int64_t i = 0; i < num_atoms; ++i) {
    for (std::int64_t j = 0; j < num_atoms; ++j) {
      for (int p = -most[0]; p <= most[0]; ++p) {
        for (int q = -most[1]; q <= most[1]; ++q) {
          for (int r = -most[2]; r <= most[2]; ++r) {
            if (i == j && p == 0 && q == 0 && r == 0) continue;  // an atom is bonded to its images, not to itself
            Vector shift, bond;
            for (int x = 0; x < 3; ++x) {
              shift[x] = p * cell[0][x] + q * cell[1][x] + r * cell[2][x];
              bond[x] = crystal.positions[j][x] + shift[x] - crystal.positions[i][x];
            }
            const double length = std::sqrt(dot(bond, bond));
            if (length >= cutoff) continue;
            if (length < threebody_cutoff) bonds.of_angles.push_back(static_cast<std::int64_t>(bonds.centre.size()));
            bonds.centre.push_back(i);
            bonds.neighbour.push_back(j);
            bonds.shift.push_back(shift);
          }
        }
      }
    }
  }
  return bonds;
}
