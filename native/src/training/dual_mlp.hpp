// The layers of a gated multilayer perceptron after the first, in dual numbers, and the backward pass with the gradients of
// their weights.
#pragma once

#include "training/dual.hpp"
#include "training/gradient.hpp"

namespace tribond::INSTRUCTION_SET {

// Room for the rows that go through all layers together.
template <class T> struct DualMlp {
    std::vector<Buffer<T>> x, slope;  // of each hidden layer (count, 2, 2 · width): g(...), and g'(...)
    Buffer<T> core, gate;             // (count, 2, out)

    void resize(const std::vector<Layer<T>>& layers, size_t count) {
        x.resize(layers.size()), slope.resize(layers.size());
        for (size_t d = 0; d < layers.size(); ++d)
            for (auto* it : {&x[d], &slope[d]}) it->resize(count * 4 * layers[d].in);
        core.resize(count * 2 * layers.back().out), gate.resize(count * 2 * layers.back().out);
    }
};

// x ← g(x); with KEEP also slope ← g'(x).
template <class T, bool KEEP> inline void activate_dual(int count, int width, T* x, T* slope) {
    for (int r = 0; r < count; ++r, x += 2 * width, slope += 2 * width)
        for (int f = 0; f < width; f += LANES<T>) {
            const Dual<T> value = load_dual(x + f, width), s = sigmoid(value), activated = value * s;
            store_dual(x + f, width, activated);
            if constexpr (KEEP) store_dual(slope + f, width, silu_slope(s, activated));
        }
}

// From what the first layer gives, in m.x[0], to the arguments of the last functions, in m.core and m.gate.
template <class T, bool KEEP> void mlp_forward(const std::vector<Layer<T>>& layers, int count, DualMlp<T>& m) {
    const int depth = int(layers.size());
    for (int d = 0; d < depth; ++d) {
        const Layer<T>& layer = layers[d];
        const int width = 2 * layer.in;
        T* x = m.x[d].begin();
        activate_dual<T, KEEP>(count, width, x, m.slope[d].begin());
        const bool last = d + 1 == depth;
        T* core = last ? m.core.begin() : m.x[d + 1].begin();
        T* gate = last ? m.gate.begin() : core + layer.out;
        const int next = last ? layer.out : 2 * layer.out;
        multiply<T, Start::bias_of_even>(2 * count, x, width, layer.core, core, next, {layer.core_bias.begin()});
        multiply<T, Start::bias_of_even>(2 * count, x + layer.in, width, layer.gate, gate, next, {layer.gate_bias.begin()});
    }
}

// The backward pass after mlp_forward with KEEP and with the derivatives by m.core and m.gate in their places: adds the
// gradients of the weights to `slot`, and leaves the derivatives by what the first layer gave in m.x[0].
template <class T>
void mlp_backward(const std::vector<Layer<T>>& layers, const MlpPlaces& places, int count, DualMlp<T>& m, T* slot) {
    const T *core = m.core.begin(), *gate = m.gate.begin();
    int width = layers.back().out;  // of core and gate, one beside the other from the second layer on
    for (int d = int(layers.size()) - 1; d >= 0; --d) {
        const Layer<T>& layer = layers[d];
        const LayerPlaces& to = places.layers[d];
        const int in = layer.in, out = layer.out, next = 2 * in;
        T* x = m.x[d].begin();
        outer(count, x, next, in, core, width, out, slot + to.core, out);
        outer(count, x + in, next, in, gate, width, out, slot + to.gate, out);
        add_changes(count, core, width, out, slot + to.core_bias);
        add_changes(count, gate, width, out, slot + to.gate_bias);
        multiply<T, Start::zero>(2 * count, core, width, layer.core_back, x, next);
        multiply<T, Start::zero>(2 * count, gate, width, layer.gate_back, x + in, next);
        multiply_dual(count, next, x, m.slope[d].begin());
        core = x, gate = x + in, width = next;
    }
}

}  // namespace tribond::INSTRUCTION_SET
