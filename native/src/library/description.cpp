#include "library/description.hpp"

#include <cmath>

#include "library/error.hpp"
#include "library/radial.hpp"

namespace tribond {

template <class T> ModelDescription<T>::ModelDescription(const ModelFile& file) : file_(file) {
    const Config& c = file.config;
    numbers = {int64_t(c.elements.size()), c.node_features, c.edge_features, c.num_blocks, c.max_l, c.max_n,
               c.gated_by_end, c.onto_centre, c.atom_first, c.silu_scale};
    for (const std::vector<int>* widths : {&c.update_hidden, &c.readout_hidden}) {
        numbers.push_back(int64_t(widths->size()));
        numbers.insert(numbers.end(), widths->begin(), widths->end());
    }
    reals.push_back(c.threebody_cutoff);
    const bool smooth[2] = {c.smooth_edge_basis, c.smooth_angle_basis};
    const int count[2] = {c.edge_basis(), c.angular()};
    for (int kind = 0; kind < 2; ++kind) {  // of e⁰ and of the angles
        if (smooth[kind]) numbers.insert(numbers.end(), {1, 1, count[kind]});
        else numbers.insert(numbers.end(), {0, c.max_l, c.max_n});
        reals.push_back(c.cutoff);
        RadialTables tables = smooth[kind] ? smooth_bessel(count[kind], c.cutoff) : spherical_bessel(c.max_n, c.max_l, c.cutoff);
        take_doubles(std::move(tables.wave_numbers)), take_doubles(std::move(tables.factors));
    }
    take("atom_embedding.weight", {int64_t(c.elements.size()), c.node_features});
    take("bond_embedding.layers.0.weight", {c.edge_features, c.edge_basis()});
    take_bias("bond_embedding.layers.0.bias", c.edge_features, c.bond_embedding_bias);
    for (int k = 0; k < c.num_blocks; ++k) {
        const std::string block = "blocks." + std::to_string(k) + ".";
        take(block + "three_body.atom_gate.weight", {c.angular(), c.node_features});
        take_bias(block + "three_body.atom_gate.bias", c.angular(), true);
        take(block + "three_body.bond_update.core.0.weight", {c.edge_features, c.angular()});
        take(block + "three_body.bond_update.gate.0.weight", {c.edge_features, c.angular()});
        take_update(block + "bond_update.", c.edge_features);
        take_update(block + "atom_update.", c.node_features);
    }
    std::vector<int> readout{c.node_features};
    readout.insert(readout.end(), c.readout_hidden.begin(), c.readout_hidden.end());
    readout.push_back(1);
    take_gated("readout.phi.", readout);
    for (const char* table : {"reference_energy.scale", "reference_energy.reference"})
        take_doubles(find(table, {int64_t(c.elements.size())}).numbers());
    find("reference_energy.offset", {});
    numbers.push_back(c.repulsion);
    if (c.repulsion) {
        reals.insert(reals.end(), {c.repulsion_inner, c.repulsion_outer});
        take_doubles(std::vector<double>(c.elements.begin(), c.elements.end()));
        const std::vector<double> radii = find("repulsion.radius", {int64_t(c.elements.size())}).numbers();
        for (double radius : radii)
            if (!(radius > 0 && 2 * c.repulsion_outer * radius <= c.cutoff))
                throw Error(TRIBOND_BAD_FILE, "has a number in repulsion.radius that is no radius, or too large for its cutoff");
        take_doubles(radii);
    }
    if (taken_ != file.tensors.size())
        throw Error(TRIBOND_BAD_FILE, "has tensors that its settings do not ask for; download or copy it again");
}

template <class T> const StoredTensor& ModelDescription<T>::find(const std::string& name, const std::vector<int64_t>& shape) {
    const auto found = file_.tensors.find(name);
    if (found == file_.tensors.end()) throw Error(TRIBOND_BAD_FILE, "lacks the tensor " + name + "; download or copy it again");
    if (found->second.shape != shape)
        throw Error(TRIBOND_BAD_FILE, "has a tensor " + name + " of another shape than its settings ask for; download or copy it again");
    for (double number : found->second.numbers())
        if (!std::isfinite(T(number)))
            throw Error(TRIBOND_BAD_FILE, "has a number in " + name + " that is not finite: its training went wrong, or it is damaged");
    ++taken_;
    return found->second;
}

template <class T> void ModelDescription<T>::take(const std::string& name, const std::vector<int64_t>& shape) {
    const std::vector<double> numbers = find(name, shape).numbers();
    weights_.emplace_back(numbers.begin(), numbers.end());
    tensors.push_back(weights_.back().data());
    sizes.push_back(int64_t(numbers.size()));
}

template <class T> void ModelDescription<T>::take_bias(const std::string& name, int64_t size, bool there) {
    if (there) take(name, {size});
    else tensors.push_back(nullptr), sizes.push_back(0);
}

// Weight and bias of core and gate, layer by layer.
template <class T> void ModelDescription<T>::take_gated(const std::string& name, const std::vector<int>& widths) {
    for (size_t d = 0; d + 1 < widths.size(); ++d)
        for (const char* side : {"core.", "gate."}) {
            const std::string layer = name + side + std::to_string(d);
            take(layer + ".weight", {widths[d + 1], widths[d]});
            take_bias(layer + ".bias", widths[d + 1], true);
        }
}

template <class T> void ModelDescription<T>::take_update(const std::string& name, int out) {
    const Config& c = file_.config;
    std::vector<int> widths{2 * c.node_features + c.edge_features};
    widths.insert(widths.end(), c.update_hidden.begin(), c.update_hidden.end());
    widths.push_back(out);
    take_gated(name + "phi.", widths);
    take(name + "edge_gate.weight", {out, c.edge_basis()});
    take_bias(name + "edge_gate.bias", out, c.edge_gate_bias);
}

template <class T> void ModelDescription<T>::take_doubles(std::vector<double> values) {
    doubles_.push_back(std::move(values));
    tensors.push_back(doubles_.back().data());
    sizes.push_back(int64_t(doubles_.back().size()));
}

template class ModelDescription<float>;
template class ModelDescription<double>;

}  // namespace tribond
