// tribond's model file, as checkpoints/native.py writes it: safetensors with a header of JSON.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "library/config.hpp"

namespace tribond {

struct StoredTensor {
    int bytes_of_number = 0;  // 4 for float, 8 for double
    std::vector<int64_t> shape;
    const char* data = nullptr;  // in the file's content, aligned to nothing

    int64_t size() const;
    std::vector<double> numbers() const;
};

struct ModelFile {
    std::string name, metadata;  // what it is called; all of it, as JSON
    Config config;
    std::map<std::string, StoredTensor> tensors;

    // Of the content of a file, which must live as long. Throws Error for everything that is not in order, but does not look
    // at which tensors there are.
    static ModelFile read(const std::string& content);
};

// Throws Error if it cannot.
std::string read_file(const char* path);

}  // namespace tribond
