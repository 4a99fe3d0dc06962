#include "library/model.hpp"

#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <new>
#include <thread>

#include "common/outcome.hpp"
#include "library/description.hpp"
#include "library/error.hpp"

namespace tribond {
namespace {

constexpr int MOST_THREADS = 1024;

// Those that this process may run on: a batch system often gives it a few of a large machine's.
int processors() {
#if defined(__linux__)
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed);
#endif
    return int(std::thread::hardware_concurrency());
}

int default_threads() {
    const char* wish = std::getenv("OMP_NUM_THREADS");  // "4", or "4,2" for levels
    const int asked = wish == nullptr ? 0 : std::atoi(wish);
    return std::max(1, std::min(asked > 0 ? asked : processors(), MOST_THREADS));
}

template <class T> void* pack(const Functions& functions, const ModelFile& file) {
    const ModelDescription<T> given(file);
    void* engine = nullptr;
    const int outcome = functions.engine_new(
        sizeof(T) == 8, int64_t(given.numbers.size()), given.numbers.data(), int64_t(given.reals.size()), given.reals.data(),
        int64_t(given.tensors.size()), given.tensors.data(), given.sizes.data(), &engine);
    if (outcome == NO_MEMORY) throw std::bad_alloc();
    if (outcome != DONE) throw Error(TRIBOND_FAILED, "could not be packed for the engine; please report it");
    return engine;
}

}  // namespace
}  // namespace tribond

tribond_model::tribond_model(const std::string& content, int wanted) : functions(tribond::functions()) {
    using namespace tribond;
    const ModelFile file = ModelFile::read(content);
    const Config& config = file.config;
    const auto embedding = file.tensors.find("atom_embedding.weight");
    const int stored = embedding == file.tensors.end() ? 4 : embedding->second.bytes_of_number;
    precision = wanted == TRIBOND_AS_STORED ? stored : wanted;
    name = file.name, metadata = file.metadata;
    cutoff = config.cutoff, threebody_cutoff = config.threebody_cutoff;
    num_blocks = config.num_blocks, onto_centre = config.onto_centre;
    threads = default_threads();
    row_of_element.fill(-1);
    for (int number : config.elements) {
        row_of_element[number] = int(elements.size());
        elements.push_back(number);
    }
    engine = precision == TRIBOND_FLOAT64 ? pack<double>(functions, file) : pack<float>(functions, file);
    offset = file.tensors.at("reference_energy.offset").numbers()[0];
    exchange_width = functions.row_width(config.node_features, precision);
}

tribond_model::~tribond_model() { functions.engine_delete(engine); }
