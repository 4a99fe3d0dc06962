// A model file as the numbers and tensors that engine/model.hpp reads; the twin of `_description` in backends/native.py.
#pragma once

#include <cstdint>
#include <list>
#include <vector>

#include "library/model_file.hpp"

namespace tribond {

// Numbers of type T, float or double, and what is always double.
template <class T> class ModelDescription {
public:
    // Throws Error if there are not exactly the tensors that the settings ask for.
    explicit ModelDescription(const ModelFile& file);

    std::vector<int64_t> numbers;
    std::vector<double> reals;
    std::vector<const void*> tensors;
    std::vector<int64_t> sizes;

private:
    void take(const std::string& name, const std::vector<int64_t>& shape);
    void take_bias(const std::string& name, int64_t size, bool there);
    void take_gated(const std::string& name, const std::vector<int>& widths);
    void take_update(const std::string& name, int out);
    void take_doubles(std::vector<double> values);
    const StoredTensor& find(const std::string& name, const std::vector<int64_t>& shape);

    const ModelFile& file_;
    size_t taken_ = 0;
    std::list<std::vector<T>> weights_;       // stay where they are
    std::list<std::vector<double>> doubles_;
};

}  // namespace tribond
