// The engine as it was compiled for each instruction set, and which one this processor runs.
#pragma once

#include <cstdint>

#include "common/graph.hpp"

namespace tribond {

// What engine/engine.cpp and graph/search.cpp define.
struct Functions {
    const char* name;
    int (*engine_new)(int double_precision, int64_t num_numbers, const int64_t* numbers, int64_t num_reals, const double* reals,
                      int64_t num_tensors, const void* const* tensors, const int64_t* sizes, void** engine);
    void (*engine_delete)(void* engine);
    int (*engine_evaluate)(void* engine, int threads, const Graph* graph, int64_t trace_bytes, double* energies, double* gradient);
    int (*row_width)(int features, int bytes_of_number);  // of v as it is exchanged
    int (*search)(int64_t atoms, const double* positions, const double* cell, const uint8_t* periodic, double radius,
                  double longest, double longest_of_angles, double most_tries, int threads, void** found, int64_t* counts,
                  double* least);
    int (*search_write)(const void* found, int64_t bonds, int64_t* ends, double* shifts, int64_t* angles);
    void (*search_delete)(void* found);
};

// The best one, or what TRIBOND_INSTRUCTIONS in the environment lowers it to. Throws Error for a wrong word there.
const Functions& functions();

}  // namespace tribond
