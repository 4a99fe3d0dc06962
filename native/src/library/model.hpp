// What stands behind tribond_model.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "library/elements.hpp"
#include "library/instruction_sets.hpp"

struct tribond_model {
    // Throws tribond::Error. `content` is that of a file, `precision` as in tribond.h.
    tribond_model(const std::string& content, int precision);
    ~tribond_model();
    tribond_model(const tribond_model&) = delete;
    tribond_model& operator=(const tribond_model&) = delete;

    const tribond::Functions& functions;
    void* engine = nullptr;
    std::string name, metadata;
    double cutoff = 0, threebody_cutoff = 0, offset = 0;
    int precision = 0, threads = 1, num_blocks = 0;
    bool onto_centre = true;
    int64_t kept_bytes = 380 * int64_t(1000000);
    int64_t exchange_width = 0;
    std::vector<int32_t> elements;  // atomic numbers
    std::array<int, tribond::LAST_ELEMENT + 1> row_of_element{};  // -1 where it is not known
};
