// (7): the energies of some atoms, and the backward pass to their features.
#pragma once

#include "engine/update.hpp"

namespace tribond::INSTRUCTION_SET {

template <class T> struct ReadoutScratch {
    Buffer<T> values, slopes;  // layer after layer (rows, core and gate): x, then g(x); g'(x)

    void resize(const Readout<T>& readout, size_t rows) {
        size_t width = 2 * readout.first.hidden;
        for (const Layer<T>& layer : readout.layers) width += 2 * layer.out;
        values.resize(rows * width), slopes.resize(rows * width);
    }

    // From v (rows, nodes) and the rows of the embedding: energies in eV, and ∂v (rows, nodes).
    void run(const Model<T>& m, const int64_t* element, int rows, const T* v, double* energies, T* d_nodes) {
        constexpr int W = LANES<T>;
        const Readout<T>& readout = m.readout[0];
        const int depth = int(readout.layers.size());
        T *x = values.begin(), *slope = slopes.begin();
        int width = 2 * readout.first.hidden;
        multiply<T, Start::bias>(rows, v, m.nodes, readout.first.centre, x, width, {readout.first.bias.begin()});
        activate(size_t(rows) * width, x, [=](size_t i, Vec<T> value) { store(slope + i, value); });
        std::vector<int> widths;  // of few layers, once a tile
        for (int d = 0; d < depth; ++d) {
            const Layer<T>& layer = readout.layers[d];
            widths.push_back(width);
            const int next = 2 * layer.out;
            T *y = x + size_t(rows) * width, *next_slope = slope + size_t(rows) * width;
            multiply<T, Start::bias>(rows, x, width, layer.core, y, next, {layer.core_bias.begin()});
            multiply<T, Start::bias>(rows, x + layer.in, width, layer.gate, y + layer.out, next, {layer.gate_bias.begin()});
            if (d + 1 < depth) activate(size_t(rows) * next, y, [=](size_t i, Vec<T> value) { store(next_slope + i, value); });
            x = y, slope = next_slope, width = next;
        }
        const int out = width / 2;  // one number, padded
        for (int r = 0; r < rows; ++r) {
            const T core = x[r * width], gate = x[r * width + out], share = sigmoid(all<T>(gate))[0];
            const double scale = m.scale[element[r]];
            energies[r] = scale * double(core * share) + m.reference[element[r]];
            std::fill_n(x + r * width, width, T(0));
            x[r * width] = T(scale) * share;
            x[r * width + out] = T(scale) * core * share * (1 - share);
        }
        for (int d = depth - 1; d >= 0; --d) {
            const Layer<T>& layer = readout.layers[d];
            const int next = widths[d];
            T *y = x - size_t(rows) * next, *next_slope = slope - size_t(rows) * next;
            multiply<T, Start::zero>(rows, x, width, layer.core_back, y, next);
            multiply<T, Start::zero>(rows, x + layer.out, width, layer.gate_back, y + layer.in, next);
            for (int i = 0; i < rows * next; i += W) store(y + i, load(y + i) * load(next_slope + i));
            x = y, slope = next_slope, width = next;
        }
        multiply<T, Start::zero>(rows, x, width, readout.first.centre_back, d_nodes, m.nodes);
    }
};

}  // namespace tribond::INSTRUCTION_SET
