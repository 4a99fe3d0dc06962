// Whether a graph makes sense, and how its bonds are cut into pieces.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/graph.hpp"
#include "common/memory.hpp"

namespace tribond::INSTRUCTION_SET {

inline bool valid(const Graph& g, int64_t elements) {
    if (g.owned < 0 || g.owned > g.atoms) return false;
    for (int64_t i = 0; i < g.atoms; ++i)
        if (g.element[i] < 0 || g.element[i] >= elements) return false;
    for (int64_t b = 0; b < g.bonds; ++b)
        if (g.centre[b] < 0 || g.centre[b] >= g.atoms || g.neighbour[b] < 0 || g.neighbour[b] >= g.atoms ||
            (b > 0 && g.centre[b] < g.centre[b - 1]))
            return false;
    for (int64_t a = 0; a < g.angles; ++a)
        if (g.angle[a] < 0 || g.angle[a] >= g.bonds || (a > 0 && g.angle[a] <= g.angle[a - 1])) return false;
    return g.atoms < INT32_MAX && g.bonds < INT32_MAX;  // rows are numbered by 32 bits, at most one for each bond
}

constexpr int64_t TILE_BONDS = 96;         // what a tile computes stays in the second-level cache
constexpr int64_t PART_BONDS = 1024;       // a part is what one thread takes at a time
constexpr int64_t LEAST_PARTS = 16;        // more parts for small systems, down to
constexpr int64_t LEAST_PART_BONDS = 48;   // ... this

// Consecutive atoms with all bonds that start there.
struct Tile {
    int64_t first_atom, last_atom;    // last ones are past the end
    int64_t first_bond, last_bond;
    int64_t first_angle, last_angle;
    int64_t atoms() const { return last_atom - first_atom; }
    int64_t bonds() const { return last_bond - first_bond; }
    int64_t angles() const { return last_angle - first_angle; }
};

// Tiles that one thread works through. What they add to atoms at the far ends of their bonds goes to rows of the part's
// own, one for each atom touched, which are summed up later in the order of the parts: no two threads write to the same
// place, and the result depends neither on how many threads there are nor on which is faster.
struct Part {
    int first_tile, last_tile;
    int64_t first_row, last_row;
};

struct Partition {
    std::vector<int64_t> bonds_of, angles_of;  // (atoms + 1) where the bonds and angle bonds of an atom start
    std::vector<Tile> tiles;
    std::vector<Part> parts;
    std::vector<int32_t> row;                  // (bonds,) of the neighbour in its part
    std::vector<int64_t> rows_of;              // (atoms + 1) where the rows of an atom start in ...
    std::vector<int32_t> rows;                 // ... this list
    int64_t most_bonds = 0, most_angles = 0, most_atoms = 0;  // in a tile

    explicit Partition(const Graph& g) : bonds_of(g.atoms + 1), angles_of(g.atoms + 1), row(g.bonds) {
        for (int64_t b = 0; b < g.bonds; ++b) ++bonds_of[g.centre[b] + 1];
        for (int64_t a = 0; a < g.angles; ++a) ++angles_of[g.centre[g.angle[a]] + 1];
        for (int64_t i = 0; i < g.atoms; ++i) bonds_of[i + 1] += bonds_of[i], angles_of[i + 1] += angles_of[i];
        cut(g);
        number_rows(g);
    }

private:
    void cut(const Graph& g) {
        const int64_t part_bonds = std::max(LEAST_PART_BONDS, std::min(PART_BONDS, g.bonds / LEAST_PARTS));
        int64_t start_of_part = 0;
        for (int64_t atom = 0; atom < g.atoms;) {
            int64_t end = atom + 1;
            const int64_t most = std::min(TILE_BONDS, part_bonds);
            while (end < g.atoms && bonds_of[end + 1] - bonds_of[atom] <= most && end - atom < TILE_BONDS) ++end;
            const Tile tile{atom, end, bonds_of[atom], bonds_of[end], angles_of[atom], angles_of[end]};
            if (parts.empty() || tile.last_bond - start_of_part > part_bonds) {
                parts.push_back({int(tiles.size()), int(tiles.size()), 0, 0});
                start_of_part = tile.first_bond;
            }
            tiles.push_back(tile);
            parts.back().last_tile = int(tiles.size());
            most_bonds = std::max(most_bonds, tile.bonds());
            most_angles = std::max(most_angles, tile.angles());
            most_atoms = std::max(most_atoms, tile.atoms());
            atom = end;
        }
    }

    void number_rows(const Graph& g) {
        std::vector<int32_t> row_of(g.atoms, -1), touched;
        rows_of.assign(g.atoms + 1, 0);
        int64_t next = 0;
        std::vector<int32_t> atom_of_row;
        for (Part& part : parts) {
            part.first_row = next;
            const int64_t first = tiles[part.first_tile].first_bond, last = tiles[part.last_tile - 1].last_bond;
            for (int64_t b = first; b < last; ++b) {
                int32_t& known = row_of[g.neighbour[b]];
                if (known < part.first_row) {
                    known = int32_t(next++);
                    atom_of_row.push_back(int32_t(g.neighbour[b]));
                }
                row[b] = known;
            }
            part.last_row = next;
        }
        for (int32_t atom : atom_of_row) ++rows_of[atom + 1];
        for (int64_t i = 0; i < g.atoms; ++i) rows_of[i + 1] += rows_of[i];
        rows.resize(next);
        std::vector<int64_t> place(rows_of.begin(), rows_of.end() - 1);
        for (int64_t r = 0; r < next; ++r) rows[place[atom_of_row[r]]++] = int32_t(r);
    }
};

}  // namespace tribond::INSTRUCTION_SET
