// What backends/native.py and library/ call, compiled for every instruction set.
#include <memory>
#include <mutex>

#include "common/instruction_set.hpp"
#include "common/outcome.hpp"
#include "engine/inside.hpp"
#include "engine/pass.hpp"
#include "training/training.hpp"

namespace tribond::INSTRUCTION_SET {
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
        if (!valid(graph, model_.elements)) return BAD_GRAPH;
        const Inside inside(graph, model_.edge_basis.cutoff, model_.threebody_cutoff);
        Borrowed<T> memory(*memory_);
        try {
            Pass<T>(model_, inside.graph(), memory->workspace, threads, trace_bytes).run(energies, gradient);
        } catch (...) {
            memory->workspace = Workspace<T>();  // what it did get of memory
            throw;
        }
        inside.spread(gradient);
        model_.repulsion.add(graph, energies, gradient);
        return DONE;
    }

    Outcome weight_gradients(int threads, const Graph& graph, const double* d_energies, const double* d_gradient,
                             void* const* tensors) override {
        if (!valid(graph, model_.elements)) return BAD_GRAPH;
        Inside inside(graph, model_.edge_basis.cutoff, model_.threebody_cutoff);
        Borrowed<T> memory(*memory_);
        memory->training.run(model_, inside.graph(), threads, d_energies, inside.gather(d_gradient), tensors);
        return DONE;
    }

private:
    const Model<T> model_;
    const std::shared_ptr<Memory<T>> memory_;
};

}  // namespace
}  // namespace tribond::INSTRUCTION_SET

// Calls `work`; exceptions become outcomes.
template <class Work> static int outcome_of(Work work) {
    using namespace tribond;
    try {
        return work();
    } catch (const std::bad_alloc&) {
        return NO_MEMORY;
    } catch (const std::invalid_argument&) {
        return BAD_MODEL;
    } catch (const INSTRUCTION_SET::ExchangeFailed&) {
        return EXCHANGE_FAILED;
    } catch (...) {
        return FAILED;
    }
}

// Counts the changes of these functions, so that compiled.py does not call a library of another version.
PUBLIC int FUNCTION(interface)() { return 9; }

// A model packed for use; BAD_MODEL if there are more or fewer numbers and tensors than such a model has.
PUBLIC int FUNCTION(engine_new)(int double_precision, int64_t num_numbers, const int64_t* numbers, int64_t num_reals,
                                const double* reals, int64_t num_tensors, const void* const* tensors, const int64_t* sizes,
                                void** engine) {
    using namespace tribond::INSTRUCTION_SET;
    return outcome_of([&] {
        const Description given{num_numbers, numbers, num_reals, reals, num_tensors, tensors, sizes};
        Engine* made = nullptr;
        if (double_precision) made = new EngineOf<double>(Reader<double>(given));
        else made = new EngineOf<float>(Reader<float>(given));
        *engine = made;
        return tribond::DONE;
    });
}

PUBLIC void FUNCTION(engine_delete)(void* engine) { delete static_cast<tribond::INSTRUCTION_SET::Engine*>(engine); }

// Energies (owned,) and gradient (bonds, 3); see common/graph.hpp. Without `angle` the lengths say which bonds take part in angles.
PUBLIC int FUNCTION(engine_evaluate)(void* engine, int threads, const tribond::Graph* graph, int64_t trace_bytes,
                                     double* energies, double* gradient) {
    using namespace tribond::INSTRUCTION_SET;
    return outcome_of([&] {
        return static_cast<Engine*>(engine)->run(threads, size_t(trace_bytes), *graph, energies, gradient);
    });
}

// Numbers in a row of features as it is stored and exchanged.
PUBLIC int FUNCTION(row_width)(int features, int bytes_of_number) {
    using namespace tribond::INSTRUCTION_SET;
    return bytes_of_number == 8 ? padded<double>(features) : padded<float>(features);
}

// `engine_evaluate` for those who have all atoms.
PUBLIC int FUNCTION(engine_run)(void* engine, int threads, int64_t atoms, int64_t bonds, int64_t angles,
                                const int64_t* element, const int64_t* centre, const int64_t* neighbour,
                                const int64_t* angle, const double* vectors, int64_t trace_bytes, double* energies,
                                double* gradient) {
    static const int64_t none = 0;  // an empty array may have no place
    const tribond::Graph graph{atoms, atoms, bonds, angles, element, centre, neighbour, angle == nullptr ? &none : angle, vectors, {}};
    return FUNCTION(engine_evaluate)(engine, threads, &graph, trace_bytes, energies, gradient);
}

PUBLIC int FUNCTION(engine_weight_gradients)(void* engine, int threads, int64_t atoms, int64_t bonds, int64_t angles,
                                             const int64_t* element, const int64_t* centre, const int64_t* neighbour,
                                             const int64_t* angle, const double* vectors, const double* d_energies,
                                             const double* d_gradient, void* const* tensors) {
    using namespace tribond::INSTRUCTION_SET;
    return outcome_of([&] {
        static const int64_t none = 0;
        const tribond::Graph graph{atoms, atoms, bonds, angles, element, centre, neighbour, angle == nullptr ? &none : angle, vectors, {}};
        return static_cast<Engine*>(engine)->weight_gradients(threads, graph, d_energies, d_gradient, tensors);
    });
}
