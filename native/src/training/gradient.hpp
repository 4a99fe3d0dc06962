// Where the gradients of the weights are summed up, and how they get to the caller.
//
// A slot holds one number for every weight, in matrices as padded as those of model.hpp. There is a fixed number of
// slots, each filled by one thread at a time in a fixed order: the sums do not depend on how many threads there are.
#pragma once

#include "common/threads.hpp"
#include "engine/model.hpp"

namespace tribond::INSTRUCTION_SET {

struct LayerPlaces {
    size_t core, gate, core_bias, gate_bias;  // (in, out), (out,)
};

struct MlpPlaces {
    size_t centre, neighbour, edge, bias;  // first layer: (width, 2 · hidden), (2 · hidden,)
    std::vector<LayerPlaces> layers;
};

struct UpdatePlaces {
    MlpPlaces phi;
    size_t scale, scale_bias;  // (basis, out), (out,)
};

struct AnglePlaces {
    size_t atom_gate, atom_gate_bias, core, gate;  // (nodes, angular), (angular,), (angular, edges)
};

struct BlockPlaces {
    AnglePlaces angles;
    UpdatePlaces bond, atom;
};

template <class T> class Gradients {
public:
    size_t embedding, bond_weight, bond_bias;  // (elements, nodes), (basis, edges), (edges,)
    std::vector<BlockPlaces> blocks;
    MlpPlaces readout;

    // In the order in which the Reader meets the weights. `memory` is for the slots.
    Gradients(const Model<T>& m, Buffer<T>& memory) : memory_(memory) {
        const int basis = m.edge_basis.count(), angular = m.max_l * m.max_n;
        embedding = table(m.elements, m.node_features, m.nodes);
        bond_weight = linear(basis, m.edge_features);
        bond_bias = bias(m.edge_features);
        for (int k = 0; k < m.num_blocks; ++k) {
            AnglePlaces angles;
            angles.atom_gate = linear(m.node_features, angular);
            angles.atom_gate_bias = bias(angular);
            angles.core = linear(angular, m.edge_features);
            angles.gate = linear(angular, m.edge_features);
            const UpdatePlaces bond = update(m, m.edge_features), atom = update(m, m.node_features);
            blocks.push_back({angles, bond, atom});
        }
        readout = mlp(m.readout_hidden, 1, m.node_features, 0, 0);
    }

    // All slots zero.
    void clear(int slots, int threads) {
        slots_ = slots;
        memory_.resize(size_ * slots);
        share_out(slots, threads, [&](int piece, int) { std::fill_n(slot(piece), size_, T(0)); });
    }

    T* slot(int number) { return memory_.begin() + number * size_; }

    // The sum of all slots to the tensors of the weights; null where one is not wanted.
    void write(void* const* tensors, int threads) {
        constexpr size_t AT_ONCE = 4096;
        share_out(int((size_ + AT_ONCE - 1) / AT_ONCE), threads, [&](int piece, int) {
            T* sum = memory_.begin() + piece * AT_ONCE;
            const size_t count = std::min(AT_ONCE, size_ - piece * AT_ONCE);
            for (int s = 1; s < slots_; ++s)
                for (size_t i = 0; i < count; ++i) sum[i] += sum[s * size_ + i];
        });
        for (const Copy& c : copies_) {
            T* to = static_cast<T*>(tensors[c.tensor]);
            if (to == nullptr) continue;
            for (int n = 0; n < c.columns; ++n)
                for (int k = 0; k < c.rows; ++k)
                    to[c.first + n * c.column_step + k * c.row_step] = memory_[c.at + size_t(k) * c.width + n];
        }
    }

private:
    // Entry (k, n) of a matrix of a slot is number first + k · row_step + n · column_step of a tensor.
    struct Copy {
        int tensor;
        size_t at;
        int width, rows, columns, row_step, column_step, first = 0;
    };

    size_t take(size_t count) {
        const size_t at = size_;
        size_ += (count + LANES<T> - 1) / LANES<T> * LANES<T>;
        return at;
    }

    size_t table(int rows, int columns, int width) {
        const size_t at = take(size_t(rows) * width);
        copies_.push_back({next_++, at, width, rows, columns, columns, 1});
        return at;
    }

    // Of a tensor (out, in).
    size_t linear(int in, int out) {
        const int width = padded<T>(out);
        const size_t at = take(size_t(padded<T>(in)) * width);
        copies_.push_back({next_++, at, width, in, out, 1, in});
        return at;
    }

    size_t bias(int out) { return table(1, out, padded<T>(out)); }

    // widths: nodes, nodes again (0: they are once in the input alone), edges.
    MlpPlaces mlp(const std::vector<int>& hidden, int out, int nodes, int twice, int edges) {
        MlpPlaces places;
        const int half = padded<T>(hidden[0]), width = nodes + twice + edges;
        const auto room = [&](int rows) { return take(size_t(padded<T>(rows)) * 2 * half); };
        places.centre = room(nodes), places.neighbour = room(twice), places.edge = room(edges), places.bias = room(1);
        for (int side = 0; side < 2; ++side) {
            const auto part = [&](size_t at, int rows, int first) {
                copies_.push_back({next_, at + side * half, 2 * half, rows, hidden[0], 1, width, first});
            };
            part(places.centre, nodes, 0);
            part(places.neighbour, twice, nodes);
            part(places.edge, edges, nodes + twice);
            ++next_;
            copies_.push_back({next_++, places.bias + side * half, 2 * half, 1, hidden[0], 0, 1});
        }
        for (size_t d = 0; d < hidden.size(); ++d) {
            const int next = d + 1 < hidden.size() ? hidden[d + 1] : out;
            LayerPlaces layer;
            layer.core = linear(hidden[d], next), layer.core_bias = bias(next);
            layer.gate = linear(hidden[d], next), layer.gate_bias = bias(next);
            places.layers.push_back(layer);
        }
        return places;
    }

    UpdatePlaces update(const Model<T>& m, int out) {
        UpdatePlaces places;
        places.phi = mlp(m.update_hidden, out, m.node_features, m.node_features, m.edge_features);
        places.scale = linear(m.edge_basis.count(), out), places.scale_bias = bias(out);
        return places;
    }

    std::vector<Copy> copies_;
    size_t size_ = 0;
    int next_ = 0, slots_ = 0;
    Buffer<T>& memory_;
};

}  // namespace tribond::INSTRUCTION_SET
