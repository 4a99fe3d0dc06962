// Two nuclei that come too close, added to what the network says; the twin of nn/repulsion.py, which has the equation.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/graph.hpp"

namespace tribond::INSTRUCTION_SET {

class Repulsion {
public:
    Repulsion() = default;

    // Fractions of the sum of radii between which it fades out; of each element its charge and its radius, Å.
    Repulsion(double inner, double outer, int elements, const double* charges, const double* radii)
        : inner_(inner), outer_(outer), charge_(charges, charges + elements), radius_(radii, radii + elements) {
        for (double charge : charge_) screen_.push_back(std::pow(charge, 0.23) / 0.46850);
    }

    // Adds half of the energy of a pair to the atom where a bond starts, and its derivative to the bond, (bonds, 3) eV/Å.
    // Bonds that start at atoms without an energy have none. One thread: hardly any bond is so short.
    void add(const Graph& graph, double* energies, double* gradient) const {
        if (charge_.empty()) return;
        for (int64_t b = 0; b < graph.bonds; ++b) {
            if (graph.centre[b] >= graph.owned) continue;
            const int64_t i = graph.element[graph.centre[b]], j = graph.element[graph.neighbour[b]];
            const double* v = graph.vectors + 3 * b;
            const double square = v[0] * v[0] + v[1] * v[1] + v[2] * v[2], reach = radius_[i] + radius_[j];
            if (square >= outer_ * reach * outer_ * reach) continue;
            const double r = std::sqrt(square), over = outer_ - inner_, t = std::max(0.0, (r / reach - inner_) / over);
            const double fade = 1 - t * t * t * (10 - 15 * t + 6 * t * t);
            const double d_fade = -30 * t * t * (1 - t) * (1 - t) / (over * reach);
            const double rate = screen_[i] + screen_[j];
            double screened = 0, d_screened = 0;
            for (int k = 0; k < 4; ++k) {
                const double term = SHARE[k] * std::exp(-RATE[k] * rate * r);
                screened += term, d_screened -= RATE[k] * rate * term;
            }
            const double coulomb = 14.399645478 * charge_[i] * charge_[j] / r / 2;
            energies[graph.centre[b]] += coulomb * screened * fade;
            const double slope = coulomb * ((d_screened - screened / r) * fade + screened * d_fade);
            for (int x = 0; x < 3; ++x) gradient[3 * b + x] += slope * v[x] / r;
        }
    }

private:
    static constexpr double SHARE[4] = {0.18175, 0.50986, 0.28022, 0.02817}, RATE[4] = {3.19980, 0.94229, 0.40290, 0.20162};

    double inner_ = 0, outer_ = 0;
    std::vector<double> charge_, radius_, screen_;
};

}  // namespace tribond::INSTRUCTION_SET
