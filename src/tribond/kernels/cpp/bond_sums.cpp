// Vectors of the bonds before the network, and sums over bonds after it, on one thread: a few numbers for each bond, which
// would not be worth waking others for. PyTorch's own threads stay awake for a while after they were needed, and would be
// in the way of ours.
#include <cstdint>

namespace {

enum Outcome { DONE = 0, BAD_GRAPH = 1 };  // as in engine.cpp

bool valid(int64_t atoms, int64_t bonds, int64_t systems, const int64_t* centre, const int64_t* neighbour, const int64_t* system) {
    for (int64_t i = 0; i < atoms; ++i)
        if (system[i] < 0 || system[i] >= systems) return false;
    for (int64_t b = 0; b < bonds; ++b)
        if (centre[b] < 0 || centre[b] >= atoms || neighbour[b] < 0 || neighbour[b] >= atoms) return false;
    return true;
}

}  // namespace

#define PUBLIC extern "C" __attribute__((visibility("default")))

// r_j + S·cell - r_i, (bonds, 3). `system` (atoms,) says whose cell, (systems, 3, 3) row by row.
PUBLIC int tribond_bond_vectors(int64_t atoms, int64_t bonds, int64_t systems, const int64_t* centre, const int64_t* neighbour,
                                const int64_t* system, const double* positions, const double* cells, const double* shifts,
                                double* vectors) {
    if (!valid(atoms, bonds, systems, centre, neighbour, system)) return BAD_GRAPH;
    for (int64_t b = 0; b < bonds; ++b) {
        const double* cell = cells + 9 * system[centre[b]];
        const double *from = positions + 3 * centre[b], *to = positions + 3 * neighbour[b], *s = shifts + 3 * b;
        for (int x = 0; x < 3; ++x)
            vectors[3 * b + x] = to[x] - from[x] + (s[0] * cell[x] + s[1] * cell[3 + x] + s[2] * cell[6 + x]);
    }
    return DONE;
}

// From g = dE/dr of every bond: Σ g over the bonds that start at an atom minus Σ g over those that end there, and
// Σ r ⊗ g of every system. Adds to forces (atoms, 3) and virial (systems, 3, 3).
PUBLIC int tribond_bond_sums(int64_t atoms, int64_t bonds, int64_t systems, const int64_t* centre, const int64_t* neighbour,
                             const int64_t* system, const double* vectors, const double* gradient, double* forces,
                             double* virial) {
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
    return DONE;
}
