// What kernels/cpu.py calls. The library is built once for every instruction set; one process loads one of them.
#include <mutex>

#include "pass.hpp"

namespace tribond {
namespace {

constexpr size_t KEPT_BYTES = size_t(256) << 20;  // more memory than this is given back after every evaluation

enum Outcome { DONE = 0, BAD_GRAPH = 1, NO_MEMORY = 2 };

class Engine {
public:
    virtual ~Engine() = default;
    virtual Outcome run(int threads, const Graph& graph, double* energies, double* gradient) = 0;
};

template <class T> class EngineOf : public Engine {
public:
    explicit EngineOf(Reader<T> read) : model_(read) {}

    Outcome run(int threads, const Graph& graph, double* energies, double* gradient) override {
        if (!graph.valid(model_.elements)) return BAD_GRAPH;
        std::lock_guard<std::mutex> lock(mutex_);  // the workspace serves one evaluation at a time
        Pass<T>(model_, graph, workspace_, threads).run(energies, gradient);
        if (workspace_.bytes() > KEPT_BYTES) workspace_ = Workspace<T>();
        return DONE;
    }

private:
    Model<T> model_;
    Workspace<T> workspace_;
    std::mutex mutex_;
};

}  // namespace
}  // namespace tribond

#define PUBLIC extern "C" __attribute__((visibility("default")))

// Counts the changes of these functions, so that kernels/cpu.py does not call a library of another version.
PUBLIC int tribond_interface() { return 1; }

// A model packed for use, or null if there is no memory for it.
PUBLIC void* tribond_engine_new(int double_precision, const int64_t* numbers, const double* reals, const void* const* tensors) {
    using namespace tribond;
    try {
        if (double_precision) return new EngineOf<double>(Reader<double>(numbers, reals, tensors));
        return new EngineOf<float>(Reader<float>(numbers, reals, tensors));
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

PUBLIC void tribond_engine_delete(void* engine) { delete static_cast<tribond::Engine*>(engine); }

PUBLIC int tribond_engine_run(void* engine, int threads, int64_t atoms, int64_t bonds, int64_t angles,
                              const int64_t* element, const int64_t* centre, const int64_t* neighbour,
                              const int64_t* angle, const double* vectors, double* energies, double* gradient) {
    using namespace tribond;
    try {
        const Graph graph{atoms, bonds, angles, element, centre, neighbour, angle, vectors};
        return static_cast<Engine*>(engine)->run(threads, graph, energies, gradient);
    } catch (const std::bad_alloc&) {
        return NO_MEMORY;
    }
}
