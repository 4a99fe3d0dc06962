// The weights of an M3GNet, packed for `multiply`, with their transposes for the backward pass.
#pragma once

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "common/gemm.hpp"
#include "engine/bases.hpp"
#include "engine/repulsion.hpp"

namespace tribond::INSTRUCTION_SET {

// A model as others give it: numbers and tensors in the order in which backends/native.py and library/description.cpp list
// them, and of each tensor how many numbers it has.
struct Description {
    int64_t num_numbers;
    const int64_t* numbers;
    int64_t num_reals;
    const double* reals;
    int64_t num_tensors;
    const void* const* tensors;
    const int64_t* sizes;
};

// Goes through a description. What does not fit is a std::invalid_argument: nothing is read past its end.
template <class T> class Reader {
public:
    explicit Reader(const Description& given) : given_(given) {}

    int number(int64_t least, int64_t most) {
        if (next_number_ >= given_.num_numbers) throw std::invalid_argument("too few numbers");
        const int64_t value = given_.numbers[next_number_++];
        if (value < least || value > most) throw std::invalid_argument("a number out of range");
        return int(value);
    }

    double length() {
        if (next_real_ >= given_.num_reals || !(given_.reals[next_real_] > 0)) throw std::invalid_argument("a length");
        return given_.reals[next_real_++];
    }

    const T* tensor(int64_t size) { return static_cast<const T*>(next(size, false)); }
    const T* bias(int64_t size) { return static_cast<const T*>(next(size, true)); }  // null where there is none
    const double* doubles(int64_t size) { return static_cast<const double*>(next(size, false)); }

    void finish() const {
        if (next_number_ != given_.num_numbers || next_real_ != given_.num_reals || next_tensor_ != given_.num_tensors)
            throw std::invalid_argument("more than the model needs");
    }

private:
    const void* next(int64_t size, bool optional) {
        if (next_tensor_ >= given_.num_tensors) throw std::invalid_argument("too few tensors");
        const void* data = given_.tensors[next_tensor_];
        const int64_t given = given_.sizes[next_tensor_++];
        if (data == nullptr ? !optional : given != size) throw std::invalid_argument("a tensor of another size");
        return data;
    }

    const Description given_;
    int64_t next_number_ = 0, next_real_ = 0, next_tensor_ = 0;
};

constexpr int64_t WIDEST = 1 << 16, MOST_LAYERS = 100;  // as in nn/config.py

// A row of numbers padded with zeros to whole vectors; zeros if there is none.
template <class T> Buffer<T> padded_row(const T* source, int count, int room) {
    Buffer<T> row;
    row.resize(room);
    for (int i = 0; i < room; ++i) row[i] = source != nullptr && i < count ? source[i] : T(0);
    return row;
}

// The linear layers of core and gate after the first: each (out, in), with the transposes.
template <class T> struct Layer {
    int in, out;  // padded
    Packed<T> core, gate, core_back, gate_back;
    Buffer<T> core_bias, gate_bias;

    Layer(Reader<T>& read, int in_, int out_) : in(padded<T>(in_)), out(padded<T>(out_)) {
        const T* weights[2];
        for (int side = 0; side < 2; ++side) {
            weights[side] = read.tensor(int64_t(out_) * in_);
            (side == 0 ? core_bias : gate_bias) = padded_row(read.bias(out_), out_, out);
        }
        auto forward = [&](const T* w) {
            return Packed<T>(in, out_, [=](int k, int n) { return k < in_ ? w[n * in_ + k] : T(0); });
        };
        auto back = [&](const T* w) {
            return Packed<T>(out, in_, [=](int k, int n) { return k < out_ ? w[k * in_ + n] : T(0); });
        };
        core = forward(weights[0]), gate = forward(weights[1]);
        core_back = back(weights[0]), gate_back = back(weights[1]);
    }
};

// The first layer of core and gate side by side, cut into what acts on v_i, on v_j and on e_ij.
template <class T> struct FirstLayer {
    int hidden = 0;  // padded; core in the first half of twice as many columns, gate in the second
    Packed<T> centre, neighbour, edge, centre_back, neighbour_back, edge_back;
    Buffer<T> bias;

    // nodes_twice: v_i ⊕ v_j ⊕ e_ij as in (4), (5); otherwise v_i alone as in (7), which then is `centre`.
    FirstLayer(Reader<T>& read, int nodes, int edges, int out, bool nodes_twice) : hidden(padded<T>(out)) {
        const int width = nodes_twice ? 2 * nodes + edges : nodes;
        const T* weight[2];
        bias.resize(2 * hidden);
        for (int side = 0; side < 2; ++side) {
            weight[side] = read.tensor(int64_t(out) * width);
            const T* given = read.tensor(out);
            for (int n = 0; n < hidden; ++n) bias[side * hidden + n] = n < out ? given[n] : T(0);
        }
        const int half = hidden;
        auto entry = [=](int k, int n, int first, int count) {
            const int side = n >= half, row = side ? n - half : n;
            return row < out && k < count ? weight[side][row * width + first + k] : T(0);
        };
        auto forward = [&](int first, int count) {
            return Packed<T>(padded<T>(count), 2 * half, [=](int k, int n) { return entry(k, n, first, count); });
        };
        auto back = [&](int first, int count) {
            return Packed<T>(2 * half, count, [=](int k, int n) { return entry(n, k, first, count); });
        };
        centre = forward(0, nodes), centre_back = back(0, nodes);
        if (nodes_twice) {
            neighbour = forward(nodes, nodes), neighbour_back = back(nodes, nodes);
            edge = forward(2 * nodes, edges), edge_back = back(2 * nodes, edges);
        }
    }
};

// φ(v_i ⊕ v_j ⊕ e_ij) ⊙ W⁰ e⁰_ij of (4) or (5).
template <class T> struct Update {
    FirstLayer<T> first;
    std::vector<Layer<T>> layers;
    int out, basis;
    bool silu_scale;
    Buffer<T> scale, scale_bias;  // (basis, out), (out,)

    Update(Reader<T>& read, int nodes, int edges, const std::vector<int>& hidden, int out_, int basis_, bool silu)
        : first(read, nodes, edges, hidden[0], true), out(padded<T>(out_)), basis(basis_), silu_scale(silu) {
        for (size_t d = 0; d < hidden.size(); ++d)
            layers.emplace_back(read, hidden[d], d + 1 < hidden.size() ? hidden[d + 1] : out_);
        const T* weight = read.tensor(int64_t(out_) * basis);
        scale.resize(size_t(basis) * out);
        for (int b = 0; b < basis; ++b)
            for (int f = 0; f < out; ++f) scale[b * out + f] = f < out_ ? weight[f * basis + b] : T(0);
        scale_bias = padded_row(read.bias(out_), out_, out);
    }
};

// (2) and (3).
template <class T> struct ThreeBody {
    Packed<T> atom_gate, atom_gate_back;
    Buffer<T> atom_gate_bias;
    Packed<T> core, gate, core_back, gate_back;

    ThreeBody(Reader<T>& read, int nodes, int edges, int angular) {
        const int wide_nodes = padded<T>(nodes), wide_edges = padded<T>(edges), wide = padded<T>(angular);
        const T* w = read.tensor(int64_t(angular) * nodes);
        atom_gate = Packed<T>(wide_nodes, angular, [=](int k, int n) { return k < nodes ? w[n * nodes + k] : T(0); });
        atom_gate_back = Packed<T>(wide, nodes, [=](int k, int n) { return k < angular ? w[k * nodes + n] : T(0); });
        atom_gate_bias = padded_row(read.bias(angular), angular, wide);
        for (int side = 0; side < 2; ++side) {
            const T* m = read.tensor(int64_t(edges) * angular);
            (side == 0 ? core : gate) = Packed<T>(angular, edges, [=](int k, int n) { return m[n * angular + k]; });
            (side == 0 ? core_back : gate_back) =
                Packed<T>(wide_edges, angular, [=](int k, int n) { return k < edges ? m[k * angular + n] : T(0); });
        }
    }
};

template <class T> struct Block {
    ThreeBody<T> angles;
    Update<T> bond, atom;
};

// φ₃ of (7).
template <class T> struct Readout {
    FirstLayer<T> first;
    std::vector<Layer<T>> layers;

    Readout(Reader<T>& read, int nodes, const std::vector<int>& hidden) : first(read, nodes, 0, hidden[0], false) {
        for (size_t d = 0; d < hidden.size(); ++d)
            layers.emplace_back(read, hidden[d], d + 1 < hidden.size() ? hidden[d + 1] : 1);
    }
};

template <class T> struct Model {
    int elements, node_features, edge_features, num_blocks, max_l, max_n;
    bool gated_by_end, onto_centre, atom_first, silu_scale;
    int nodes, edges, angular;  // padded widths of v, e and of what (2) gives
    double threebody_cutoff;
    std::vector<int> update_hidden, readout_hidden;  // widths
    Radial edge_basis, angle_basis;
    Buffer<T> embedding, bond_weight, bond_bias;  // (elements, nodes); (basis, edges), (edges,)
    std::vector<Block<T>> blocks;
    std::vector<Readout<T>> readout;  // one
    std::vector<double> scale, reference;
    Repulsion repulsion;

    explicit Model(Reader<T> read) {
        elements = read.number(1, 1000);
        node_features = read.number(1, WIDEST), edge_features = read.number(1, WIDEST);
        num_blocks = read.number(1, MOST_LAYERS);
        max_l = read.number(1, 4), max_n = read.number(1, MOST_FUNCTIONS);
        if (max_l * max_n > MOST_FUNCTIONS) throw std::invalid_argument("too many radial functions");
        gated_by_end = read.number(0, 1), onto_centre = read.number(0, 1), atom_first = read.number(0, 1);
        silu_scale = read.number(0, 1);
        nodes = padded<T>(node_features), edges = padded<T>(edge_features), angular = padded<T>(max_l * max_n);
        update_hidden = widths(read), readout_hidden = widths(read);
        threebody_cutoff = read.length();
        edge_basis = radial(read), angle_basis = radial(read);
        if (angle_basis.count() != max_l * max_n) throw std::invalid_argument("the basis of the angles");
        const T* rows = read.tensor(int64_t(elements) * node_features);
        embedding.resize(size_t(elements) * nodes);
        for (int z = 0; z < elements; ++z)
            for (int f = 0; f < nodes; ++f) embedding[z * nodes + f] = f < node_features ? rows[z * node_features + f] : T(0);
        const int basis = edge_basis.count();
        const T* weight = read.tensor(int64_t(edge_features) * basis);
        bond_weight.resize(size_t(basis) * edges);
        for (int b = 0; b < basis; ++b)
            for (int f = 0; f < edges; ++f) bond_weight[b * edges + f] = f < edge_features ? weight[f * basis + b] : T(0);
        bond_bias = padded_row(read.bias(edge_features), edge_features, edges);
        for (int k = 0; k < num_blocks; ++k) {
            ThreeBody<T> angles(read, node_features, edge_features, max_l * max_n);
            Update<T> bond(read, node_features, edge_features, update_hidden, edge_features, basis, false);
            Update<T> atom(read, node_features, edge_features, update_hidden, node_features, basis, silu_scale);
            blocks.push_back({std::move(angles), std::move(bond), std::move(atom)});
        }
        readout.emplace_back(read, node_features, readout_hidden);
        const double* tables[2] = {read.doubles(elements), read.doubles(elements)};
        scale.assign(tables[0], tables[0] + elements);
        reference.assign(tables[1], tables[1] + elements);
        if (read.number(0, 1)) {
            const double inner = read.length(), outer = read.length();
            const double* charges = read.doubles(elements);
            repulsion = Repulsion(inner, outer, elements, charges, read.doubles(elements));
        }
        read.finish();
    }

private:
    static std::vector<int> widths(Reader<T>& read) {
        std::vector<int> all(read.number(1, MOST_LAYERS));
        for (int& width : all) width = read.number(1, WIDEST);
        return all;
    }

    static Radial radial(Reader<T>& read) {
        Radial basis;
        basis.smooth = read.number(0, 1);
        basis.max_l = read.number(1, 4), basis.max_n = read.number(1, MOST_FUNCTIONS);
        if (basis.count() > MOST_FUNCTIONS) throw std::invalid_argument("too many radial functions");
        basis.cutoff = read.length();
        const int waves = basis.smooth ? basis.max_n + 1 : basis.max_l * basis.max_n;
        const int factors = basis.smooth ? basis.max_n * (basis.max_n + 1) : waves;
        const double* tables[2] = {read.doubles(waves), read.doubles(factors)};
        basis.wave_numbers.assign(tables[0], tables[0] + waves);
        basis.factors.assign(tables[1], tables[1] + factors);
        return basis;
    }
};

}  // namespace tribond::INSTRUCTION_SET
