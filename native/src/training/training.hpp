// What engine.cpp needs to know of the gradients by the weights, which are compiled on their own, in training.cpp.
#pragma once

#include <memory>

#include "engine/graph.hpp"
#include "engine/model.hpp"

namespace tribond::INSTRUCTION_SET {

// The gradient by the weights of a loss, and the memory for it, kept from one time to the next.
template <class T> class Training {
public:
    Training();
    ~Training();

    // d_energies (atoms,), d_gradient (bonds, 3): derivatives of the loss by the energy of every atom and by dE/dr of
    // every bond. `tensors` are filled, in the order in which the Reader meets the weights; null where not wanted.
    void run(const Model<T>& model, const Graph& graph, int threads, const double* d_energies, const double* d_gradient,
             void* const* tensors);

private:
    struct Memory;
    std::unique_ptr<Memory> memory_;
};

}  // namespace tribond::INSTRUCTION_SET
