#include "library/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

#include "common/outcome.hpp"
#include "library/error.hpp"

namespace tribond {
namespace {

constexpr double SMALLEST_DISTANCE = 0.1;  // Å, as in graph/bonds.py
constexpr double MOST_TRIED = 40000;       // pairs for an atom, as in graph/pairs.py
constexpr double NOT_A_NUMBER = std::numeric_limits<double>::quiet_NaN();

[[noreturn]] void bad(const std::string& text) { throw Error(TRIBOND_BAD_ARGUMENT, text); }

std::string number(int64_t value) { return std::to_string(value); }

// Several arrays of the caller have the same number of items: one of them may be NULL if there are none.
void check_array(const void* array, int64_t items, const char* name) {
    if (items > 0 && array == nullptr) bad(std::string(name) + " is NULL");
}

void check_count(int64_t count, const char* name) {
    if (count < 0 || count >= std::numeric_limits<int32_t>::max()) bad(std::string(name) + " is " + number(count) + ", which is negative or too many");
}

void check_output(const double* array, int64_t given, int64_t wanted, const char* name) {
    if (array == nullptr && given == 0) return;
    if (array == nullptr) bad(std::string(name) + " is NULL, but its size is " + number(given));
    if (given != wanted) bad(std::string(name) + " has room for " + number(given) + " numbers; it must have " + number(wanted));
}

// The rows of the embedding.
std::vector<int64_t> rows_of(const tribond_model& model, int64_t atoms, const int32_t* atomic_numbers) {
    std::vector<int64_t> rows(atoms);
    for (int64_t i = 0; i < atoms; ++i) {
        const int32_t z = atomic_numbers[i];
        if (z < 1 || z > LAST_ELEMENT) bad("atom " + number(i) + " has the atomic number " + number(z));
        rows[i] = model.row_of_element[z];
        if (rows[i] >= 0) continue;
        std::string known;
        for (int32_t element : model.elements) known += (known.empty() ? "" : " ") + std::string(SYMBOLS[element]);
        throw Error(TRIBOND_UNKNOWN_ELEMENT, "atom " + number(i) + " is " + SYMBOLS[z] + ", which this model does not know; it knows " + known);
    }
    return rows;
}

void check_edges(const tribond_graph& g) {
    const int64_t last = g.forward != nullptr ? g.num_owned : g.num_atoms;
    for (int64_t e = 0; e < g.num_edges; ++e) {
        const int64_t i = g.centre[e], j = g.neighbour[e];
        if (i < 0 || i >= g.num_atoms) bad("edge " + number(e) + " starts at atom " + number(i) + ", but there are " + number(g.num_atoms));
        if (j < 0 || j >= g.num_atoms) bad("edge " + number(e) + " ends at atom " + number(j) + ", but there are " + number(g.num_atoms));
        if (i >= last) bad("edge " + number(e) + " starts at the ghost " + number(i) + "; with an exchange ghosts have no edges of their own");
        if (e > 0 && i < g.centre[e - 1])
            bad("edge " + number(e) + " starts at atom " + number(i) + " after one that starts at " + number(g.centre[e - 1]) + "; sort edges by their centre");
        const double* v = g.vectors + 3 * e;
        const double squared = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
        if (!std::isfinite(squared)) bad("the vector of edge " + number(e) + " is not finite");
        if (!(squared > SMALLEST_DISTANCE * SMALLEST_DISTANCE))
            bad("atoms " + number(i) + " and " + number(j) + " are " + std::to_string(std::sqrt(squared)) + " Å apart (edge " + number(e) + ")");
    }
}

void add_half(double* to, const double* r, const double* g) {
    for (int x = 0; x < 3; ++x)
        for (int y = 0; y < 3; ++y) to[3 * x + y] += 0.5 * r[x] * g[y];
}

void sum_over_edges(const tribond_graph& g, const double* gradient, tribond_results& results) {
    std::fill_n(results.virial, 9, 0.0);
    if (results.forces != nullptr) std::fill_n(results.forces, 3 * g.num_atoms, 0.0);
    if (results.atomic_virials != nullptr) std::fill_n(results.atomic_virials, 9 * g.num_atoms, 0.0);
    for (int64_t e = 0; e < g.num_edges; ++e) {
        const double *r = g.vectors + 3 * e, *by_r = gradient + 3 * e;
        const int64_t i = g.centre[e], j = g.neighbour[e];
        for (int x = 0; x < 3; ++x)
            for (int y = 0; y < 3; ++y) results.virial[3 * x + y] += r[x] * by_r[y];
        if (results.forces != nullptr)
            for (int x = 0; x < 3; ++x) results.forces[3 * i + x] += by_r[x], results.forces[3 * j + x] -= by_r[x];
        if (results.atomic_virials != nullptr)
            add_half(results.atomic_virials + 9 * i, r, by_r), add_half(results.atomic_virials + 9 * j, r, by_r);
    }
    double* v = results.virial;
    for (int x = 0; x < 3; ++x)
        for (int y = 0; y < x; ++y) v[3 * x + y] = v[3 * y + x] = (v[3 * x + y] + v[3 * y + x]) / 2;
}

double determinant(const double* c) {
    return c[0] * (c[4] * c[8] - c[5] * c[7]) - c[1] * (c[3] * c[8] - c[5] * c[6]) + c[2] * (c[3] * c[7] - c[4] * c[6]);
}

[[noreturn]] void fail(int outcome, int64_t atoms, int64_t edges) {
    if (outcome == NO_MEMORY) throw std::bad_alloc();
    if (outcome == EXCHANGE_FAILED) throw Error(TRIBOND_EXCHANGE_FAILED, "the exchange between the processes failed");
    throw Error(TRIBOND_FAILED, "the evaluation of " + number(atoms) + " atoms with " + number(edges) + " edges failed; please report it");
}

// The neighbours of a structure, as the search gives them.
struct Edges {
    std::vector<int64_t> ends;  // (2, edges)
    std::vector<double> vectors;
};

Edges search(const tribond_model& model, const tribond_structure& s) {
    static const double none = 0;  // no atoms may be given as NULL
    const double* positions = s.num_atoms > 0 ? s.positions : &none;
    double cell[9];  // of axes that are not periodic it is not used, and may hold anything
    uint8_t periodic[3];
    for (int k = 0; k < 3; ++k) {
        periodic[k] = uint8_t(s.periodic[k]);
        for (int x = 0; x < 3; ++x) cell[3 * k + x] = periodic[k] ? s.cell[3 * k + x] : 0.0;
    }
    struct Found {
        const Functions& functions;
        void* place = nullptr;
        ~Found() { functions.search_delete(place); }
    } found{model.functions};
    int64_t counts[3];
    double least;
    const double longest = model.cutoff * model.cutoff, longest_of_angles = model.threebody_cutoff * model.threebody_cutoff;
    const int outcome = model.functions.search(s.num_atoms, positions, cell, periodic, model.cutoff, longest, longest_of_angles,
                                               MOST_TRIED * double(std::max<int64_t>(s.num_atoms, 1)), model.threads,
                                               &found.place, counts, &least);
    if (outcome == BAD_GRAPH)
        bad("the neighbours cannot be found: the cell has no volume or is very small, or atoms are very far from each other");
    if (outcome != DONE) fail(outcome, s.num_atoms, 0);
    const int64_t edges = counts[0];
    check_count(edges, "the number of edges");
    Edges result;
    result.ends.resize(2 * edges), result.vectors.resize(3 * edges);
    std::vector<double> shifts(3 * edges);
    std::vector<int64_t> angles(counts[1]);
    if (model.functions.search_write(found.place, edges, result.ends.data(), shifts.data(), angles.data()) != DONE)
        fail(FAILED, s.num_atoms, edges);
    for (int64_t e = 0; e < edges; ++e) {
        const double *from = positions + 3 * result.ends[e], *to = positions + 3 * result.ends[edges + e], *shift = shifts.data() + 3 * e;
        for (int x = 0; x < 3; ++x)
            result.vectors[3 * e + x] = to[x] - from[x] + (shift[0] * cell[x] + shift[1] * cell[3 + x] + shift[2] * cell[6 + x]);
    }
    return result;
}

}  // namespace

void evaluate(const tribond_model& model, const tribond_graph& g, tribond_results& results) {
    check_count(g.num_atoms, "num_atoms"), check_count(g.num_edges, "num_edges");
    if (g.num_owned < 0 || g.num_owned > g.num_atoms) bad("num_owned is " + number(g.num_owned) + " of " + number(g.num_atoms) + " atoms");
    check_array(g.atomic_numbers, g.num_atoms, "atomic_numbers");
    check_array(g.centre, g.num_edges, "centre"), check_array(g.neighbour, g.num_edges, "neighbour");
    check_array(g.vectors, g.num_edges, "vectors");
    if ((g.forward == nullptr) != (g.reverse == nullptr)) bad("of forward and reverse one is NULL: an exchange needs both");
    check_output(results.atomic_energies, results.num_atomic_energies, g.num_owned, "atomic_energies");
    check_output(results.forces, results.num_forces, 3 * g.num_atoms, "forces");
    check_output(results.atomic_virials, results.num_atomic_virials, 9 * g.num_atoms, "atomic_virials");
    check_output(results.edge_gradients, results.num_edge_gradients, 3 * g.num_edges, "edge_gradients");
    const std::vector<int64_t> rows = rows_of(model, g.num_atoms, g.atomic_numbers);
    check_edges(g);

    std::vector<double> energies, gradient;  // where the caller wants none
    if (results.atomic_energies == nullptr) energies.resize(g.num_owned);
    if (results.edge_gradients == nullptr) gradient.resize(3 * g.num_edges);
    double* energy_of = results.atomic_energies == nullptr ? energies.data() : results.atomic_energies;
    double* by_r = results.edge_gradients == nullptr ? gradient.data() : results.edge_gradients;
    const Graph graph{g.num_atoms, g.num_owned, g.num_edges, 0,         rows.data(),
                      g.centre,    g.neighbour, nullptr,     g.vectors, {g.forward, g.reverse, g.exchange_context}};
    const int outcome = model.functions.engine_evaluate(model.engine, model.threads, &graph, model.kept_bytes, energy_of, by_r);
    if (outcome != DONE) fail(outcome, g.num_atoms, g.num_edges);

    results.energy = 0;
    for (int64_t i = 0; i < g.num_owned; ++i) results.energy += energy_of[i];
    sum_over_edges(g, by_r, results);
    std::fill_n(results.stress, 9, NOT_A_NUMBER);
    bool finite = std::isfinite(results.energy);
    for (double component : results.virial) finite = finite && std::isfinite(component);
    if (!finite) bad("the energy or its derivative is not finite: atoms are too close to each other, or too far from what the model knows");
}

void evaluate(const tribond_model& model, const tribond_structure& s, tribond_results& results) {
    check_count(s.num_atoms, "num_atoms");
    check_array(s.atomic_numbers, s.num_atoms, "atomic_numbers"), check_array(s.positions, s.num_atoms, "positions");
    if (results.edge_gradients != nullptr || results.num_edge_gradients != 0) bad("edge_gradients are for tribond_evaluate; leave them NULL, with a size of 0");
    for (int k = 0; k < 3; ++k) {
        if (s.periodic[k] != 0 && s.periodic[k] != 1) bad("periodic[" + number(k) + "] is " + number(s.periodic[k]) + "; it must be 0 or 1");
        for (int x = 0; x < 3; ++x)
            if (s.periodic[k] == 1 && !std::isfinite(s.cell[3 * k + x])) bad("the cell is not finite");
    }
    for (int64_t n = 0; n < 3 * s.num_atoms; ++n)
        if (!std::isfinite(s.positions[n])) bad("the position of atom " + number(n / 3) + " is not finite");
    rows_of(model, s.num_atoms, s.atomic_numbers);  // before a search that may take long
    const Edges edges = search(model, s);
    tribond_graph graph{};
    graph.struct_size = sizeof graph;
    graph.num_atoms = graph.num_owned = s.num_atoms;
    graph.atomic_numbers = s.atomic_numbers;
    graph.num_edges = int64_t(edges.ends.size()) / 2;
    graph.centre = edges.ends.data(), graph.neighbour = edges.ends.data() + graph.num_edges;
    graph.vectors = edges.vectors.data();
    evaluate(model, graph, results);
    results.energy += model.offset;
    const double volume = std::abs(determinant(s.cell));
    if (s.periodic[0] && s.periodic[1] && s.periodic[2])
        for (int x = 0; x < 9; ++x) results.stress[x] = results.virial[x] / volume;
}

}  // namespace tribond
