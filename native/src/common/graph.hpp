// A graph as it is handed from those who have it to the engine, compiled for whatever instruction set.
#pragma once

#include <cstdint>

namespace tribond {

// Moves rows of features, or of derivatives by them, between the processes that hold a system; see tribond.h.
struct Exchange {
    int (*forward)(void* context, void* rows, int64_t width) = nullptr;  // fills the rows of ghosts from their owners
    int (*reverse)(void* context, void* rows, int64_t width) = nullptr;  // adds the rows of ghosts to their owners
    void* context = nullptr;
};

// A batch of systems, or what one process has of a system. Bonds are sorted by their centre; angle bonds, those within the
// three-body cutoff, are ascending.
struct Graph {
    int64_t atoms, owned;      // the first `owned` atoms have energies, the others are ghosts
    int64_t bonds, angles;
    const int64_t* element;    // (atoms,) rows of the embedding
    const int64_t* centre;     // (bonds,)
    const int64_t* neighbour;  // (bonds,)
    const int64_t* angle;      // (angles,) bonds
    const double* vectors;     // (bonds, 3) Å
    Exchange exchange;         // with it, no bond starts at a ghost
};

}  // namespace tribond
