#include "training/training.hpp"

#include "training/dual_pass.hpp"

namespace tribond::INSTRUCTION_SET {

template <class T> struct Training<T>::Memory {
    DualWorkspace<T> workspace;
    Buffer<T> sums;
};

template <class T> Training<T>::Training() : memory_(new Memory) {}
template <class T> Training<T>::~Training() = default;

template <class T>
void Training<T>::run(const Model<T>& model, const Graph& graph, int threads, const double* d_energies,
                      const double* d_gradient, void* const* tensors) {
    try {
        Gradients<T> gradients(model, memory_->sums);
        DualPass<T>(model, graph, memory_->workspace, gradients, threads, d_energies, d_gradient).run(tensors);
    } catch (...) {
        memory_.reset(new Memory);  // what it did get of memory
        throw;
    }
}

template class Training<float>;
template class Training<double>;

}  // namespace tribond::INSTRUCTION_SET
