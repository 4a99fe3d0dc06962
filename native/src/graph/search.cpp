// All bonds of a system. Space is divided into boxes at least as wide as the longest bond; every atom is tried with those of
// its own box and of the boxes around it, in the order of bonds, so that bonds need not be sorted. What decides is the length,
// always the same sum (lengths.hpp); boxes and shifts are only ever a bit too wide.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <vector>

#include "common/instruction_set.hpp"
#include "common/outcome.hpp"
#include "common/simd.hpp"
#include "common/threads.hpp"
#include "graph/lengths.hpp"

namespace tribond::INSTRUCTION_SET {
namespace {

constexpr double FARTHEST = 1e6;           // Å; beyond, this search does not answer for its rounding
constexpr double MOST_CELLS = 1e8;         // between two atoms
constexpr int64_t MOST_BOXES = 1 << 20;    // along an axis
constexpr int64_t ATOMS_AT_ONCE = 64;      // about as many, in whole boxes, for a thread

struct Vector {
    double x, y, z;
    Vector(double x_, double y_, double z_) : x(x_), y(y_), z(z_) {}
    explicit Vector(const double* v) : x(v[0]), y(v[1]), z(v[2]) {}
    double dot(const Vector& o) const { return x * o.x + y * o.y + z * o.z; }
    double length() const { return std::sqrt(dot(*this)); }
    Vector cross(const Vector& o) const { return {y * o.z - z * o.y, z * o.x - x * o.z, x * o.y - y * o.x}; }
    Vector operator*(double s) const { return {x * s, y * s, z * s}; }
};

// Along each axis an atom r has the coordinate t = dual · r: in cells, or in Å where the axis is open.
struct Axis {
    Vector dual{0, 0, 0};
    bool periodic = false;
    double reach = 0;       // how far apart in t bonded atoms can be; a bit too far where rounding matters
    int64_t boxes = 1;
    double start = 0, width = 1;  // of the boxes; those of a periodic axis divide a cell

    // Which whole numbers may be added to t of the second atom.
    int64_t first_shift(double t, double other) const { return periodic ? int64_t(std::ceil(t - other - reach)) : 0; }
    int64_t last_shift(double t, double other) const { return periodic ? int64_t(std::floor(t - other + reach)) : 0; }
    double most_shifts() const { return periodic ? std::floor(2 * reach) + 1 : 1; }

    int64_t box(double t) const {
        const double from = periodic ? t - std::floor(t) : t - start;
        return std::min(int64_t(from / width), boxes - 1);
    }

    // A box and those beside it, each once: at most three.
    int around(int64_t box, int64_t* beside) const {
        if (periodic && boxes <= 3) {
            for (int64_t b = 0; b < boxes; ++b) beside[b] = b;
            return int(boxes);
        }
        int count = 0;
        for (int64_t b = box - 1; b <= box + 1; ++b) {
            if (periodic) beside[count++] = (b + boxes) % boxes;
            else if (b >= 0 && b < boxes) beside[count++] = b;
        }
        return count;
    }
};

struct Bond {
    int32_t centre, neighbour, shift[3];
    bool in_angles;
};

// What a thread finds in some boxes: the bonds of an atom one after the other.
struct Piece {
    std::vector<Bond> bonds;
    int32_t centre = 0, place = -1;  // of the shortest bond, the first one in the order of bonds: its place among those of its centre
    double least = std::numeric_limits<double>::infinity();

    void measure(double squared, int32_t i, int32_t at) {
        if (squared < least || (squared == least && i < centre)) least = squared, centre = i, place = at;
    }
};

// All bonds, and where those of an atom go.
struct Found {
    std::vector<Piece> pieces;
    std::vector<int64_t> first_bond, first_angle;  // (atoms + 1)
    int threads;
};

class Search {
public:
    // `cell` (3, 3), rows are lattice vectors; `periodic` (3,).
    Search(int64_t atoms, const double* positions, const double* cell, const uint8_t* periodic, double radius, int threads)
        : atoms_(atoms), positions_(positions), cell_{Vector(cell), Vector(cell + 3), Vector(cell + 6)}, threads_(threads) {
        possible_ = set_axes(cell, periodic, radius) && atoms < INT32_MAX;
        if (!possible_) return;
        set_coordinates();
        set_boxes();
    }

    // False where atoms are too far away, or the cell has no volume.
    bool possible() const { return possible_; }

    // How many pairs and images are tried at most.
    double most_tries() const {
        int64_t fullest = 0;
        for (size_t box = 0; box < boxes_.size(); ++box) fullest = std::max(fullest, first_[box + 1] - first_[box]);
        double tries = double(atoms_) * double(fullest);
        for (const Axis& axis : axes_) tries *= double(std::min<int64_t>(axis.boxes, 3)) * axis.most_shifts();
        return tries;
    }

    // All bonds whose squared length is below `longest`.
    Found run(double longest, double longest_of_angles) const {
        std::vector<size_t> starts;  // of pieces
        for (size_t box = 0; box < boxes_.size(); ++box)
            if (starts.empty() || first_[box] - first_[starts.back()] >= ATOMS_AT_ONCE) starts.push_back(box);
        Found found{std::vector<Piece>(starts.size()), std::vector<int64_t>(atoms_ + 1), std::vector<int64_t>(atoms_ + 1), threads_};
        starts.push_back(boxes_.size());
        share_out(int(found.pieces.size()), threads_, [&](int number, int) {
            Piece& piece = found.pieces[number];
            Around around;
            for (size_t box = starts[number]; box < starts[number + 1]; ++box) {
                look_around(box, around);
                around.measure(coordinates_.data());
                for (int64_t n = first_[box]; n < first_[box + 1]; ++n) {
                    const int32_t i = sorted_[n];
                    const size_t before = piece.bonds.size();
                    found.first_angle[i + 1] = bonds_of(i, longest, longest_of_angles, around, piece);
                    found.first_bond[i + 1] = int64_t(piece.bonds.size() - before);
                }
            }
        });
        for (int64_t i = 0; i < atoms_; ++i) {
            found.first_bond[i + 1] += found.first_bond[i];
            found.first_angle[i + 1] += found.first_angle[i];
        }
        return found;
    }

private:
    bool set_axes(const double* cell, const uint8_t* periodic, double radius) {
        double farthest = radius;
        bool finite = std::isfinite(radius) && radius >= 0;
        for (int64_t n = 0; n < 3 * atoms_ + 9; ++n) {
            const double number = n < 9 ? cell[n] : positions_[n - 9];
            farthest = std::max(farthest, std::abs(number));
            finite = finite && std::isfinite(number);
        }
        if (!finite || farthest > FARTHEST) return false;
        int order[3], count = 0;  // periodic axes first
        for (const bool wanted : {true, false})
            for (int k = 0; k < 3; ++k)
                if ((periodic[k] != 0) == wanted) order[count++] = k;
        count = int((periodic[0] != 0) + (periodic[1] != 0) + (periodic[2] != 0));
        // In place of open axes come unit vectors normal to the others.
        const Vector a = count > 0 ? cell_[order[0]] : Vector(1, 0, 0);
        const Vector b = count > 1 ? cell_[order[1]] : normal(a);
        Vector c = count > 2 ? cell_[order[2]] : a.cross(b);
        if (count < 3) c = c * (1 / c.length());
        const double volume = a.dot(b.cross(c)), skew = a.length() * b.length() * c.length() / std::abs(volume);
        const Vector duals[3] = {b.cross(c) * (1 / volume), c.cross(a) * (1 / volume), a.cross(b) * (1 / volume)};
        const double rounding = 256 * std::numeric_limits<double>::epsilon() * skew * farthest;
        for (int n = 0; n < 3; ++n) {
            Axis& axis = axes_[order[n]];
            axis.dual = duals[n];
            axis.periodic = n < count;
            axis.reach = 1e-9 + (radius + rounding) * duals[n].length();
            if (!(axis.reach + 4 * farthest * duals[n].length() < MOST_CELLS)) return false;  // nor if it is NaN
        }
        return true;
    }

    static Vector normal(const Vector& a) {
        const double x = std::abs(a.x), y = std::abs(a.y), z = std::abs(a.z);
        const Vector other(x <= y && x <= z, y < x && y <= z, z < x && z < y);
        const Vector n = a.cross(other);
        return n * (1 / n.length());
    }

    void set_coordinates() {
        coordinates_.resize(3 * atoms_);
        double low[3], high[3];
        std::fill_n(low, 3, std::numeric_limits<double>::infinity());
        std::fill_n(high, 3, -std::numeric_limits<double>::infinity());
        for (int64_t i = 0; i < atoms_; ++i)
            for (int k = 0; k < 3; ++k) {
                const double t = axes_[k].dual.dot(Vector(positions_ + 3 * i));
                coordinates_[3 * i + k] = t;
                low[k] = std::min(low[k], t), high[k] = std::max(high[k], t);
            }
        for (int k = 0; k < 3 && atoms_ > 0; ++k) {
            Axis& axis = axes_[k];
            const double span = axis.periodic ? 1 : high[k] - low[k];
            axis.boxes = int64_t(std::max(1.0, std::min(std::floor(span / axis.reach), double(MOST_BOXES))));
            axis.start = low[k];
            axis.width = axis.periodic ? 1.0 / double(axis.boxes) : std::max(axis.reach, span / double(axis.boxes));
        }
    }

    void set_boxes() {
        struct Place {
            int64_t box;
            int32_t atom;
            bool operator<(const Place& o) const { return box != o.box ? box < o.box : atom < o.atom; }
        };
        std::vector<Place> places(atoms_);
        for (int64_t i = 0; i < atoms_; ++i) {
            int64_t box = 0;
            for (int k = 0; k < 3; ++k) box = box * axes_[k].boxes + axes_[k].box(coordinates_[3 * i + k]);
            places[i] = {box, int32_t(i)};
        }
        std::sort(places.begin(), places.end());
        sorted_.resize(atoms_);
        for (int64_t n = 0; n < atoms_; ++n) {
            if (n == 0 || places[n].box != places[n - 1].box) boxes_.push_back(places[n].box), first_.push_back(n);
            sorted_[n] = places[n].atom;
        }
        first_.push_back(atoms_);
    }

    // The atoms that those of a box are tried with.
    struct Around {
        std::vector<int32_t> atoms, near;
        std::vector<double> coordinates[3];  // axis by axis, to whole vectors

        void measure(const double* all_coordinates) {
            const size_t count = atoms.size(), room = (count + LANES<double> - 1) / LANES<double> * LANES<double>;
            for (int k = 0; k < 3; ++k) {
                coordinates[k].resize(room);
                for (size_t n = 0; n < count; ++n) coordinates[k][n] = all_coordinates[3 * int64_t(atoms[n]) + k];
                std::fill(coordinates[k].begin() + count, coordinates[k].end(), std::numeric_limits<double>::quiet_NaN());
            }
            near.resize(room);
            atoms.resize(room);  // those that are too many are near nothing
        }
    };

    // The atoms in a box and in those around it, ascending.
    void look_around(size_t box, Around& around) const {
        int64_t beside[3][3], rest = boxes_[box];
        int counts[3];
        for (int k = 2; k >= 0; --k) {
            counts[k] = axes_[k].around(rest % axes_[k].boxes, beside[k]);
            rest /= axes_[k].boxes;
        }
        std::vector<int32_t>& atoms = around.atoms;
        atoms.clear();
        for (int u = 0; u < counts[0]; ++u)
            for (int v = 0; v < counts[1]; ++v)
                for (int w = 0; w < counts[2]; ++w) {
                    const int64_t other = (beside[0][u] * axes_[1].boxes + beside[1][v]) * axes_[2].boxes + beside[2][w];
                    const auto at = std::lower_bound(boxes_.begin(), boxes_.end(), other);
                    if (at == boxes_.end() || *at != other) continue;
                    const size_t n = at - boxes_.begin();
                    atoms.insert(atoms.end(), sorted_.begin() + first_[n], sorted_.begin() + first_[n + 1]);
                }
        std::sort(atoms.begin(), atoms.end());
    }

    // Fills around.near with those within reach of t along every axis. How many there are.
    size_t look_near(const double* t, Around& around) const {
        constexpr int W = LANES<double>;
        const Vec<double> shift = all<double>(6755399441055744.0);  // 1.5 · 2^52: adding it rounds to a whole number
        size_t count = 0;
        for (size_t n = 0; n < around.near.size(); n += W) {
            const auto within_reach = [&](int k) {
                Vec<double> apart = t[k] - load(around.coordinates[k].data() + n);
                if (axes_[k].periodic) apart -= (apart + shift) - shift;
                apart = apart < 0.0 ? -apart : apart;
                return apart <= axes_[k].reach;
            };
            const auto possible = within_reach(0) & within_reach(1) & within_reach(2);
            for (int lane = 0; lane < W; ++lane) {
                around.near[count] = around.atoms[n + lane];
                count += possible[lane] != 0;
            }
        }
        return count;
    }

    // Adds the bonds of an atom to the piece. How many take part in angles.
    int64_t bonds_of(int32_t i, double longest, double longest_of_angles, Around& around, Piece& piece) const {
        const double *from = positions_ + 3 * int64_t(i), *t = coordinates_.data() + 3 * int64_t(i);
        const Vector &a = cell_[0], &b = cell_[1], &c = cell_[2];
        const size_t count = look_near(t, around);
        int64_t angles = 0;
        int32_t bonds = 0;
        for (size_t n = 0; n < count; ++n) {
            const int32_t j = around.near[n];
            const double *to = positions_ + 3 * int64_t(j), *other = coordinates_.data() + 3 * int64_t(j);
            int64_t first[3], last[3];
            for (int k = 0; k < 3; ++k)
                first[k] = axes_[k].first_shift(t[k], other[k]), last[k] = axes_[k].last_shift(t[k], other[k]);
            const double difference[3] = {to[0] - from[0], to[1] - from[1], to[2] - from[2]};
            for (int64_t u = first[0]; u <= last[0]; ++u)
                for (int64_t v = first[1]; v <= last[1]; ++v) {
                    const double su = double(u), sv = double(v);
                    const double x = a.x * su + b.x * sv, y = a.y * su + b.y * sv, z = a.z * su + b.z * sv;
                    for (int64_t w = first[2]; w <= last[2]; ++w) {
                        const double sw = double(w);
                        const double squared = squared_length(difference, x + c.x * sw, y + c.y * sw, z + c.z * sw);
                        if (!(squared < longest) || (i == j && u == 0 && v == 0 && w == 0)) continue;
                        const bool in_angles = squared < longest_of_angles;
                        piece.measure(squared, i, bonds++);
                        angles += in_angles;
                        piece.bonds.push_back({i, j, {int32_t(u), int32_t(v), int32_t(w)}, in_angles});
                    }
                }
        }
        return angles;
    }

    const int64_t atoms_;
    const double* positions_;
    const Vector cell_[3];
    const int threads_;
    bool possible_ = false;
    Axis axes_[3];
    std::vector<double> coordinates_;     // (atoms, 3)
    std::vector<int64_t> boxes_, first_;  // those that are not empty, ascending; (boxes + 1) where their atoms start in ...
    std::vector<int32_t> sorted_;         // (atoms,) box by box
};

}  // namespace
}  // namespace tribond::INSTRUCTION_SET

// All pairs whose squared length is below `longest`, within the radius, to be written by the next function. In `counts`: how
// many bonds there are, how many below `longest_of_angles`, and the shortest bond, the first if there are several, or -1;
// `least` is its squared length. BAD_GRAPH where the search is not possible or tries more than `most_tries`.
PUBLIC int FUNCTION(search)(int64_t atoms, const double* positions, const double* cell, const uint8_t* periodic, double radius,
                          double longest, double longest_of_angles, double most_tries, int threads, void** found,
                          int64_t* counts, double* least) {
    using namespace tribond;
    using namespace tribond::INSTRUCTION_SET;
    try {
        const Search search(atoms, positions, cell, periodic, radius, threads);
        if (!search.possible() || !(search.most_tries() <= most_tries)) return BAD_GRAPH;
        auto all = std::make_unique<Found>(search.run(longest, longest_of_angles));
        counts[0] = all->first_bond.back(), counts[1] = all->first_angle.back(), counts[2] = -1;
        *least = std::numeric_limits<double>::infinity();
        for (const Piece& piece : all->pieces) {
            if (piece.place < 0) continue;
            const int64_t bond = all->first_bond[piece.centre] + piece.place;
            if (piece.least < *least || (piece.least == *least && bond < counts[2])) *least = piece.least, counts[2] = bond;
        }
        *found = all.release();
        return DONE;
    } catch (const std::bad_alloc&) {
        return NO_MEMORY;
    } catch (...) {
        return FAILED;
    }
}

// Centres and neighbours, ends (2, bonds), shifts (bonds, 3), and the bonds that take part in angles, angles (angles,).
PUBLIC int FUNCTION(search_write)(const void* found, int64_t bonds, int64_t* ends, double* shifts, int64_t* angles) {
    using namespace tribond;
    using namespace tribond::INSTRUCTION_SET;
    try {
        const Found& all = *static_cast<const Found*>(found);
        share_out(int(all.pieces.size()), all.threads, [&](int number, int) {
            int32_t centre = -1;
            int64_t at = 0, angle = 0;
            for (const Bond& bond : all.pieces[number].bonds) {
                if (bond.centre != centre) {
                    centre = bond.centre;
                    at = all.first_bond[centre], angle = all.first_angle[centre];
                }
                ends[at] = bond.centre, ends[bonds + at] = bond.neighbour;
                for (int k = 0; k < 3; ++k) shifts[3 * at + k] = bond.shift[k];
                if (bond.in_angles) angles[angle++] = at;
                ++at;
            }
        });
        return DONE;
    } catch (...) {
        return FAILED;
    }
}

PUBLIC void FUNCTION(search_delete)(void* found) { delete static_cast<tribond::INSTRUCTION_SET::Found*>(found); }
