// Vectors of the bonds before the network, and sums over bonds after it, on one thread: a few numbers for each bond, which
// would not be worth waking others for. PyTorch's own threads stay awake for a while after they were needed, and would be
// in the way of ours.
#include <cmath>
#include <cstdint>
#include <limits>

#include "common/instruction_set.hpp"
#include "common/outcome.hpp"

using namespace tribond;

namespace {

bool valid(int64_t atoms, int64_t bonds, int64_t systems, const int64_t* centre, const int64_t* neighbour, const int64_t* system) {
    for (int64_t i = 0; i < atoms; ++i)
        if (system[i] < 0 || system[i] >= systems) return false;
    for (int64_t b = 0; b < bonds; ++b)
        if (centre[b] < 0 || centre[b] >= atoms || neighbour[b] < 0 || neighbour[b] >= atoms) return false;
    return true;
}

double volume(const double* cell) {
    const double *a = cell, *b = cell + 3, *c = cell + 6;
    return std::abs((a[1] * b[2] - a[2] * b[1]) * c[0] + (a[2] * b[0] - a[0] * b[2]) * c[1] + (a[0] * b[1] - a[1] * b[0]) * c[2]);
}

}  // namespace

// r_j + S·cell - r_i, (bonds, 3). `ends` (2, bonds) are centres and neighbours, `system` (atoms,) says whose cell, (systems,
// 3, 3) row by row.
PUBLIC int FUNCTION(bond_vectors)(int64_t atoms, int64_t bonds, int64_t systems, const int64_t* ends, const int64_t* system,
                                const double* positions, const double* cells, const double* shifts, double* vectors) {
    const int64_t *centre = ends, *neighbour = ends + bonds;
    if (!valid(atoms, bonds, systems, centre, neighbour, system)) return BAD_GRAPH;
    for (int64_t b = 0; b < bonds; ++b) {
        const double* cell = cells + 9 * system[centre[b]];
        const double *from = positions + 3 * centre[b], *to = positions + 3 * neighbour[b], *s = shifts + 3 * b;
        for (int x = 0; x < 3; ++x)
            vectors[3 * b + x] = to[x] - from[x] + (s[0] * cell[x] + s[1] * cell[3 + x] + s[2] * cell[6 + x]);
    }
    return DONE;
}

// From g = dE/dr of every bond: Σ g over the bonds that start at an atom minus Σ g over those that end there, and the
// symmetric part of Σ r ⊗ g of every system. Adds to forces (atoms, 3) and virial (systems, 3, 3), which are zero. The
// stress is the virial by the volume of the cell, NaN if it is not periodic along all axes, (systems, 3) 0 or 1.
PUBLIC int FUNCTION(bond_sums)(int64_t atoms, int64_t bonds, int64_t systems, const int64_t* ends, const int64_t* system,
                             const double* cells, const uint8_t* periodic, const double* vectors,
                             const double* gradient, double* forces, double* virial, double* stress) {
    const int64_t *centre = ends, *neighbour = ends + bonds;
    if (!valid(atoms, bonds, systems, centre, neighbour, system)) return BAD_GRAPH;
    for (int64_t b = 0; b < bonds; ++b) {
        const double *r = vectors + 3 * b, *g = gradient + 3 * b;
        double *onto = forces + 3 * centre[b], *away = forces + 3 * neighbour[b], *strain = virial + 9 * system[centre[b]];
        for (int x = 0; x < 3; ++x) {
            onto[x] += g[x];
            away[x] -= g[x];
            for (int y = 0; y < 3; ++y) strain[3 * x + y] += r[x] * g[y];
        }
    }
    for (int64_t s = 0; s < systems; ++s) {
        double* v = virial + 9 * s;
        for (int x = 0; x < 3; ++x)
            for (int y = 0; y < x; ++y) v[3 * x + y] = v[3 * y + x] = (v[3 * x + y] + v[3 * y + x]) / 2;
        const uint8_t* p = periodic + 3 * s;
        const double inside = p[0] && p[1] && p[2] ? volume(cells + 9 * s) : std::numeric_limits<double>::quiet_NaN();
        for (int x = 0; x < 9; ++x) stress[9 * s + x] = v[x] / inside;
    }
    return DONE;
}
