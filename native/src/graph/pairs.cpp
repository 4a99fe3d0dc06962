// Which pairs of atoms of a list that is kept are bonds.
#include <cstdint>
#include <limits>

#include "common/instruction_set.hpp"
#include "common/outcome.hpp"
#include "graph/lengths.hpp"

using namespace tribond;
using namespace tribond::INSTRUCTION_SET;

// Which of the pairs that are kept, ends (2, pairs) and image (pairs,), are bonds: kind (pairs,) is 0 for none, 1 for a
// bond, 2 for one that takes part in angles; by squared lengths. `offsets` (3, images) are the vectors of the
// images in the cell. In `counts`: how many bonds and angles, and the shortest pair, the first if there are several, or -1;
// `least` is its squared length.
PUBLIC int FUNCTION(pairs_measure)(int64_t atoms, int64_t pairs, int64_t images, const double* positions,
                                 const int64_t* ends, const int64_t* image, const double* offsets, double longest,
                                 double longest_of_angles, uint8_t* kind, int64_t* counts, double* least) {
    const double *x = offsets, *y = offsets + images, *z = offsets + 2 * images;
    int64_t bonds = 0, angles = 0, shortest = -1;
    *least = std::numeric_limits<double>::infinity();
    for (int64_t p = 0; p < pairs; ++p) {
        const int64_t i = ends[p], j = ends[pairs + p], m = image[p];
        if (i < 0 || i >= atoms || j < 0 || j >= atoms || m < 0 || m >= images) return BAD_GRAPH;
        const double *from = positions + 3 * i, *to = positions + 3 * j;
        const double difference[3] = {to[0] - from[0], to[1] - from[1], to[2] - from[2]};
        const double squared = squared_length(difference, x[m], y[m], z[m]);
        if (squared < *least) *least = squared, shortest = p;
        const int bond = squared < longest, angle = bond & (squared < longest_of_angles);
        kind[p] = uint8_t(bond + angle);
        bonds += bond, angles += angle;
    }
    counts[0] = bonds, counts[1] = angles, counts[2] = shortest;
    return DONE;
}

// Those pairs that are bonds, after `measure` has said which: their ends (2, bonds), shifts (bonds, 3) and angles.
PUBLIC int FUNCTION(pairs_take)(int64_t pairs, int64_t images, const int64_t* ends, const int64_t* image,
                              const int64_t* table, const uint8_t* kind, int64_t bonds, int64_t most_angles, int64_t* taken,
                              double* shifts, int64_t* angles) {
    int64_t bond = 0, angle = 0;
    for (int64_t p = 0; p < pairs; ++p) {
        if (kind[p] == 0) continue;
        const int64_t m = image[p];
        if (bond == bonds || m < 0 || m >= images || (kind[p] == 2 && angle == most_angles)) return BAD_GRAPH;
        taken[bond] = ends[p], taken[bonds + bond] = ends[pairs + p];
        for (int n = 0; n < 3; ++n) shifts[3 * bond + n] = double(table[3 * m + n]);
        if (kind[p] == 2) angles[angle++] = bond;
        ++bond;
    }
    return bond == bonds && angle == most_angles ? DONE : BAD_GRAPH;
}
