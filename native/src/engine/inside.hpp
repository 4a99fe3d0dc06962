// Bonds beyond the cutoff count nothing: they are left out before the network sees them. Only then does it not matter, in
// models whose e⁰ gates have a bias, whether the caller has given a list with a skin.
#pragma once

#include <cmath>
#include <vector>

#include "engine/graph.hpp"

namespace tribond::INSTRUCTION_SET {

class Inside {
public:
    // Without `angle` in the graph, all bonds shorter than the three-body cutoff take part in angles.
    Inside(const Graph& given, double cutoff, double threebody_cutoff) : graph_(given), given_(given.bonds) {
        const auto length = [&](int64_t b) {
            const double* v = given.vectors + 3 * b;
            return std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
        };
        int64_t first = 0;  // that is left out
        while (first < given.bonds && !(length(first) >= cutoff)) ++first;  // NaN stays
        if (first < given.bonds) {
            for (int64_t b = 0; b < given.bonds; ++b)
                if (b < first || !(length(b) >= cutoff)) kept_.push_back(b);
            for (int64_t b : kept_) {
                centre_.push_back(given.centre[b]), neighbour_.push_back(given.neighbour[b]);
                vectors_.insert(vectors_.end(), given.vectors + 3 * b, given.vectors + 3 * b + 3);
            }
            graph_.bonds = int64_t(kept_.size());
            graph_.centre = centre_.data(), graph_.neighbour = neighbour_.data(), graph_.vectors = vectors_.data();
            everything_ = false;
        }
        if (given.angle == nullptr) {
            for (int64_t b = 0; b < graph_.bonds; ++b)
                if (length(everything_ ? b : kept_[b]) < threebody_cutoff) angle_.push_back(b);
        } else if (!everything_) {
            size_t at = 0;
            for (int64_t a = 0; a < given.angles; ++a) {
                while (at < kept_.size() && kept_[at] < given.angle[a]) ++at;
                if (at < kept_.size() && kept_[at] == given.angle[a]) angle_.push_back(int64_t(at));
            }
        } else return;
        graph_.angles = int64_t(angle_.size()), graph_.angle = angle_.data();
    }

    const Graph& graph() const { return graph_; }

    // dE/dr of the bonds of `graph` (bonds, 3), at the beginning of the room for all that were given, to their places.
    void spread(double* gradient) const {
        if (everything_) return;
        int64_t next = given_;  // from the end on: no number is written over before it has been moved
        for (int64_t n = int64_t(kept_.size()) - 1; n >= -1; --n) {
            const int64_t place = n >= 0 ? kept_[n] : -1;
            for (int64_t b = place + 1; b < next; ++b)
                for (int x = 0; x < 3; ++x) gradient[3 * b + x] = 0;
            if (n < 0) break;
            for (int x = 0; x < 3; ++x) gradient[3 * place + x] = gradient[3 * n + x];
            next = place;
        }
    }

    // Of numbers for all that were given, (bonds, 3), those of the bonds of `graph`.
    const double* gather(const double* numbers) {
        if (everything_) return numbers;
        gathered_.clear();
        for (int64_t b : kept_) gathered_.insert(gathered_.end(), numbers + 3 * b, numbers + 3 * b + 3);
        return gathered_.data();
    }

private:
    Graph graph_;
    int64_t given_;
    bool everything_ = true;
    std::vector<int64_t> kept_, centre_, neighbour_, angle_;
    std::vector<double> vectors_, gathered_;
};

}  // namespace tribond::INSTRUCTION_SET
