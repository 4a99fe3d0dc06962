// What backends/native.py calls. The library is built once for every instruction set; one process loads one of them.
#include <memory>
#include <mutex>

#include "common/outcome.hpp"
#include "engine/pass.hpp"
#include "training/training.hpp"

namespace tribond {
namespace {

class Engine {
public:
    virtual ~Engine() = default;
    virtual Outcome run(int threads, size_t trace_bytes, const Graph& graph, double* energies, double* gradient) = 0;
    virtual Outcome weight_gradients(int threads, const Graph& graph, const double* d_energies, const double* d_gradient,
                                     void* const* tensors) = 0;
};

// What one evaluation at a time has to itself.
template <class T> struct Memory {
    std::mutex mutex;
    Workspace<T> workspace;
    Training<T> training;
};

// The one that all engines of the process share, as long as there are any.
template <class T> std::shared_ptr<Memory<T>> shared_memory() {
    static std::mutex mutex;
    static std::weak_ptr<Memory<T>> shared;
    std::lock_guard<std::mutex> lock(mutex);
    std::shared_ptr<Memory<T>> memory = shared.lock();
    if (memory == nullptr) shared = memory = std::make_shared<Memory<T>>();
    return memory;
}

// It, for the life of this variable; or another one, where somebody else has it: another thread, or one that fork() did not
// bring along into this process.
template <class T> class Borrowed {
public:
    explicit Borrowed(Memory<T>& shared)
        : lock_(shared.mutex, std::try_to_lock), own_(lock_.owns_lock() ? nullptr : new Memory<T>),
          memory_(own_ == nullptr ? shared : *own_) {}
    Memory<T>* operator->() { return &memory_; }

private:
    std::unique_lock<std::mutex> lock_;
    std::unique_ptr<Memory<T>> own_;
    Memory<T>& memory_;
};

template <class T> class EngineOf : public Engine {
public:
    explicit EngineOf(Reader<T> read) : model_(read), memory_(shared_memory<T>()) {}

    Outcome run(int threads, size_t trace_bytes, const Graph& graph, double* energies, double* gradient) override {
        if (!graph.valid(model_.elements)) return BAD_GRAPH;
        Borrowed<T> memory(*memory_);
        try {
            Pass<T>(model_, graph, memory->workspace, threads, trace_bytes).run(energies, gradient);
        } catch (...) {
            memory->workspace = Workspace<T>();  // what it did get of memory
            throw;
        }
        return DONE;
    }

    Outcome weight_gradients(int threads, const Graph& graph, const double* d_energies, const double* d_gradient,
                             void* const* tensors) override {
        if (!graph.valid(model_.elements)) return BAD_GRAPH;
        Borrowed<T> memory(*memory_);
        memory->training.run(model_, graph, threads, d_energies, d_gradient, tensors);
        return DONE;
    }

private:
    const Model<T> model_;
    const std::shared_ptr<Memory<T>> memory_;
};

}  // namespace
}  // namespace tribond

// Counts the changes of these functions, so that compiled.py does not call a library of another version.
PUBLIC int tribond_interface() { return 7; }

// A model packed for use, or null if there is no memory for it.
PUBLIC void* tribond_engine_new(int double_precision, const int64_t* numbers, const double* reals, const void* const* tensors) {
    using namespace tribond;
    try {
        if (double_precision) return new EngineOf<double>(Reader<double>(numbers, reals, tensors));
        return new EngineOf<float>(Reader<float>(numbers, reals, tensors));
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
