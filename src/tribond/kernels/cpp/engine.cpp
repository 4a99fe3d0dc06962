// What kernels/cpu.py calls. The library is built once for every instruction set; one process loads one of them.
#include <mutex>

#include "pass.hpp"
#include "training.hpp"

namespace tribond {
namespace {

enum Outcome { DONE = 0, BAD_GRAPH = 1, NO_MEMORY = 2, FAILED = 3 };

class Engine {
public:
    virtual ~Engine() = default;
    virtual Outcome run(int threads, size_t trace_bytes, const Graph& graph, double* energies, double* gradient) = 0;
    virtual Outcome weight_gradients(int threads, const Graph& graph, const double* d_energies, const double* d_gradient,
                                     void* const* tensors) = 0;
};

// What one evaluation at a time has to itself; engines of the same model with other weights can share it.
template <class T> struct Memory {
    std::mutex mutex;
    Workspace<T> workspace;
    Training<T> training;
};

template <class T> class EngineOf : public Engine {
public:
    EngineOf(Reader<T> read, Engine* before) : model_(read) {
        const auto* same = dynamic_cast<const EngineOf<T>*>(before);
        memory_ = same != nullptr ? same->memory_ : std::make_shared<Memory<T>>();
    }

    Outcome run(int threads, size_t trace_bytes, const Graph& graph, double* energies, double* gradient) override {
        if (!graph.valid(model_.elements)) return BAD_GRAPH;
        std::lock_guard<std::mutex> lock(memory_->mutex);
        Workspace<T>& workspace = memory_->workspace;
        try {
            Pass<T>(model_, graph, workspace, threads, trace_bytes).run(energies, gradient);
        } catch (...) {
            workspace = Workspace<T>();  // what it did get of memory
            throw;
        }
        return DONE;
    }

    Outcome weight_gradients(int threads, const Graph& graph, const double* d_energies, const double* d_gradient,
                             void* const* tensors) override {
        if (!graph.valid(model_.elements)) return BAD_GRAPH;
        std::lock_guard<std::mutex> lock(memory_->mutex);
        memory_->training.run(model_, graph, threads, d_energies, d_gradient, tensors);
        return DONE;
    }

private:
    Model<T> model_;
    std::shared_ptr<Memory<T>> memory_;
};

}  // namespace
}  // namespace tribond

#define PUBLIC extern "C" __attribute__((visibility("default")))

// Counts the changes of these functions, so that compiled.py does not call a library of another version.
PUBLIC int tribond_interface() { return 5; }

// A model packed for use, or null if there is no memory for it. `before`, which may be null, is an engine of the same
// model with other weights, whose memory for evaluations the new one shares.
PUBLIC void* tribond_engine_new(int double_precision, const int64_t* numbers, const double* reals, const void* const* tensors,
                                void* before) {
    using namespace tribond;
    auto* engine = static_cast<Engine*>(before);
    try {
        if (double_precision) return new EngineOf<double>(Reader<double>(numbers, reals, tensors), engine);
        return new EngineOf<float>(Reader<float>(numbers, reals, tensors), engine);
    } catch (...) {
        return nullptr;
    }
}

PUBLIC void tribond_engine_delete(void* engine) { delete static_cast<tribond::Engine*>(engine); }

PUBLIC int tribond_engine_run(void* engine, int threads, int64_t atoms, int64_t bonds, int64_t angles,
                              const int64_t* element, const int64_t* centre, const int64_t* neighbour,
                              const int64_t* angle, const double* vectors, int64_t trace_bytes, double* energies,
                              double* gradient) {
    using namespace tribond;
    try {
        const Graph graph{atoms, bonds, angles, element, centre, neighbour, angle, vectors};
        return static_cast<Engine*>(engine)->run(threads, size_t(trace_bytes), graph, energies, gradient);
    } catch (const std::bad_alloc&) {
        return NO_MEMORY;
    } catch (...) {
        return FAILED;
    }
}

PUBLIC int tribond_engine_weight_gradients(void* engine, int threads, int64_t atoms, int64_t bonds, int64_t angles,
                                           const int64_t* element, const int64_t* centre, const int64_t* neighbour,
                                           const int64_t* angle, const double* vectors, const double* d_energies,
                                           const double* d_gradient, void* const* tensors) {
    using namespace tribond;
    try {
        const Graph graph{atoms, bonds, angles, element, centre, neighbour, angle, vectors};
        return static_cast<Engine*>(engine)->weight_gradients(threads, graph, d_energies, d_gradient, tensors);
    } catch (const std::bad_alloc&) {
        return NO_MEMORY;
    } catch (...) {
        return FAILED;
    }
}
