// Which pairs of atoms are bonds: a search that tries every pair, for small cells, and a look through a list that is kept.
//
// The lengths are, to the last bit, those of graph/bond_list.py: the same sums and products in the same order. This file is
// therefore compiled without contraction of a product and a sum into one operation (see hatch_build.py).
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace {

enum Outcome { DONE = 0, BAD_GRAPH = 1 };  // as in engine.cpp

constexpr double FARTHEST = 1e6;   // Å; beyond, this search does not answer for its rounding
constexpr double MOST_CELLS = 1e8;  // between two atoms

struct Vector {
    double x, y, z;
    Vector(double x_, double y_, double z_) : x(x_), y(y_), z(z_) {}
    explicit Vector(const double* v) : x(v[0]), y(v[1]), z(v[2]) {}
    double dot(const Vector& o) const { return x * o.x + y * o.y + z * o.z; }
    double length() const { return std::sqrt(dot(*this)); }
    Vector cross(const Vector& o) const { return {y * o.z - z * o.y, z * o.x - x * o.z, x * o.y - y * o.x}; }
    Vector operator*(double s) const { return {x * s, y * s, z * s}; }
};

// Of every axis: which shifts can bring two atoms within the radius. For a difference d of positions these are whole
// numbers at most `half` away from -d·dual. A bit too wide where rounding matters: what decides is the length.
struct Axis {
    Vector dual{0, 0, 0};  // zero along an open axis
    double half = 0;

    int64_t most() const { return int64_t(2 * half) + 1; }  // whole numbers in an interval of this length
};

struct Search {
    Axis axes[3];
    bool possible = false;

    Search(int64_t atoms, const double* positions, const double* cell, const uint8_t* periodic, double radius) {
        double farthest = radius;
        bool finite = std::isfinite(radius) && radius >= 0;
        for (int64_t n = 0; n < 3 * atoms; ++n) {
            farthest = std::max(farthest, std::abs(positions[n]));
            finite = finite && std::isfinite(positions[n]);
        }
        for (int n = 0; n < 9; ++n) {
            farthest = std::max(farthest, std::abs(cell[n]));
            finite = finite && std::isfinite(cell[n]);
        }
        if (!finite || farthest > FARTHEST) return;
        int on[3], count = 0;
        for (int k = 0; k < 3; ++k)
            if (periodic[k]) on[count++] = k;
        possible = true;
        if (count == 0) return;
        // In place of open axes come unit vectors normal to the others.
        const Vector a(cell + 3 * on[0]);
        Vector b = count > 1 ? Vector(cell + 3 * on[1]) : normal(a);
        Vector c = count > 2 ? Vector(cell + 3 * on[2]) : a.cross(b);
        if (count < 3) c = c * (1 / c.length());
        const double volume = a.dot(b.cross(c)), skew = a.length() * b.length() * c.length() / std::abs(volume);
        const Vector duals[3] = {b.cross(c) * (1 / volume), c.cross(a) * (1 / volume), a.cross(b) * (1 / volume)};
        const double rounding = 256 * std::numeric_limits<double>::epsilon() * skew * farthest;
        for (int n = 0; n < count; ++n) {
            Axis& axis = axes[on[n]];
            axis.dual = duals[n];
            axis.half = 1e-9 + (radius + rounding) * duals[n].length();
            possible = possible && (axis.half + 4 * farthest * duals[n].length()) < MOST_CELLS;  // false for NaN, too
        }
    }

private:
    static Vector normal(const Vector& a) {
        const double x = std::abs(a.x), y = std::abs(a.y), z = std::abs(a.z);
        const Vector other(x <= y && x <= z, y < x && y <= z, z < x && z < y);
        const Vector n = a.cross(other);
        return n * (1 / n.length());
    }
};

// |r_j + S·cell - r_i|², from r_j - r_i and S·cell; as in BondList.squared_lengths.
inline double squared_length(const double* difference, double x, double y, double z) {
    const double dx = difference[0] + x, dy = difference[1] + y, dz = difference[2] + z;
    return (dx * dx + dy * dy) + dz * dz;
}

struct Found {
    int64_t bonds = 0, angles = 0, shortest = -1;
};

}  // namespace

#define PUBLIC extern "C" __attribute__((visibility("default")))

// How many pairs the search may try, which is more than it finds; -1 where it is not possible.
PUBLIC int64_t tribond_pairs_room(int64_t atoms, const double* positions, const double* cell, const uint8_t* periodic,
                                  double radius) {
    const Search search(atoms, positions, cell, periodic, radius);
    if (!search.possible) return -1;
    double room = double(atoms) * double(atoms);
    for (const Axis& axis : search.axes) room *= double(axis.most());
    return room < 1e15 ? int64_t(room) : -1;
}

// All pairs whose squared length is below `longest`, within the radius, sorted by centre, neighbour and shift: ends
// (2, room), shifts (room, 3), and which of them are below `longest_of_angles`, angles (room,). In `counts`: how many bonds
// and angles, and the shortest bond, the first if there are several, or -1; `least` is its squared length.
PUBLIC int tribond_pairs_search(int64_t atoms, const double* positions, const double* cell, const uint8_t* periodic,
                                double radius, double longest, double longest_of_angles, int64_t room, int64_t* ends,
                                double* shifts, int64_t* angles, int64_t* counts, double* least) {
    const Search search(atoms, positions, cell, periodic, radius);
    if (!search.possible) return BAD_GRAPH;
    const Vector a(cell), b(cell + 3), c(cell + 6);
    const Axis* axes = search.axes;
    Found found;
    *least = std::numeric_limits<double>::infinity();
    for (int64_t i = 0; i < atoms; ++i)
        for (int64_t j = 0; j < atoms; ++j) {
            const double *from = positions + 3 * i, *to = positions + 3 * j;
            const double difference[3] = {to[0] - from[0], to[1] - from[1], to[2] - from[2]};
            int64_t first[3], last[3];
            for (int k = 0; k < 3; ++k) {
                const double middle = -Vector(difference).dot(axes[k].dual);
                first[k] = int64_t(std::ceil(middle - axes[k].half)), last[k] = int64_t(std::floor(middle + axes[k].half));
            }
            if ((first[0] > last[0]) | (first[1] > last[1]) | (first[2] > last[2])) continue;  // one branch, not three
            for (int64_t u = first[0]; u <= last[0]; ++u)
                for (int64_t v = first[1]; v <= last[1]; ++v) {
                    const double su = double(u), sv = double(v);
                    const double x = a.x * su + b.x * sv, y = a.y * su + b.y * sv, z = a.z * su + b.z * sv;
                    for (int64_t w = first[2]; w <= last[2]; ++w) {
                        const double sw = double(w);
                        const double squared = squared_length(difference, x + c.x * sw, y + c.y * sw, z + c.z * sw);
                        if (!(squared < longest) || (i == j && u == 0 && v == 0 && w == 0)) continue;
                        if (found.bonds == room) return BAD_GRAPH;
                        if (squared < *least) *least = squared, found.shortest = found.bonds;
                        if (squared < longest_of_angles) angles[found.angles++] = found.bonds;
                        ends[found.bonds] = i, ends[room + found.bonds] = j;
                        double* shift = shifts + 3 * found.bonds++;
                        shift[0] = su, shift[1] = sv, shift[2] = sw;
                    }
                }
        }
    counts[0] = found.bonds, counts[1] = found.angles, counts[2] = found.shortest;
    return DONE;
}

// Which of the pairs that are kept, ends (2, pairs) and image (pairs,), are bonds: kind (pairs,) is 0 for none, 1 for a
// bond, 2 for one that takes part in angles; by squared lengths, as above. `offsets` (3, images) are the vectors of the
// images in the cell. Counts as above, but of all pairs the shortest.
PUBLIC int tribond_pairs_measure(int64_t atoms, int64_t pairs, int64_t images, const double* positions,
                                 const int64_t* ends, const int64_t* image, const double* offsets, double longest,
                                 double longest_of_angles, uint8_t* kind, int64_t* counts, double* least) {
    const double *x = offsets, *y = offsets + images, *z = offsets + 2 * images;
    Found found;
    *least = std::numeric_limits<double>::infinity();
    for (int64_t p = 0; p < pairs; ++p) {
        const int64_t i = ends[p], j = ends[pairs + p], m = image[p];
        if (i < 0 || i >= atoms || j < 0 || j >= atoms || m < 0 || m >= images) return BAD_GRAPH;
        const double *from = positions + 3 * i, *to = positions + 3 * j;
        const double difference[3] = {to[0] - from[0], to[1] - from[1], to[2] - from[2]};
        const double squared = squared_length(difference, x[m], y[m], z[m]);
        if (squared < *least) *least = squared, found.shortest = p;
        const int bond = squared < longest, angle = bond & (squared < longest_of_angles);
        kind[p] = uint8_t(bond + angle);
        found.bonds += bond, found.angles += angle;
    }
    counts[0] = found.bonds, counts[1] = found.angles, counts[2] = found.shortest;
    return DONE;
}

// Those pairs that are bonds, after `measure` has said which: their ends (2, bonds), shifts (bonds, 3) and angles.
PUBLIC int tribond_pairs_take(int64_t pairs, int64_t images, const int64_t* ends, const int64_t* image,
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
