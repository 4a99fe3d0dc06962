#include "library/instruction_sets.hpp"

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "library/error.hpp"

// TRIBOND_PLAIN_ALONE is for tests, which compile one set only.
#define DECLARE(set)                                                                                                        \
    extern "C" {                                                                                                            \
    int tribond_##set##_engine_new(int, int64_t, const int64_t*, int64_t, const double*, int64_t, const void* const*,       \
                                   const int64_t*, void**);                                                                 \
    void tribond_##set##_engine_delete(void*);                                                                              \
    int tribond_##set##_engine_evaluate(void*, int, const tribond::Graph*, int64_t, double*, double*);                      \
    int tribond_##set##_row_width(int, int);                                                                                \
    int tribond_##set##_search(int64_t, const double*, const double*, const uint8_t*, double, double, double, double, int,  \
                               void**, int64_t*, double*);                                                                  \
    int tribond_##set##_search_write(const void*, int64_t, int64_t*, double*, int64_t*);                                    \
    void tribond_##set##_search_delete(void*);                                                                              \
    }
#define FUNCTIONS(set)                                                                                                  \
    Functions {                                                                                                         \
        #set, tribond_##set##_engine_new, tribond_##set##_engine_delete, tribond_##set##_engine_evaluate,               \
            tribond_##set##_row_width, tribond_##set##_search, tribond_##set##_search_write, tribond_##set##_search_delete                         \
    }

DECLARE(plain)
#if defined(__x86_64__) && !defined(TRIBOND_PLAIN_ALONE)
DECLARE(avx2)
DECLARE(avx512)
#endif

namespace tribond {
namespace {

// The names and the needs are those of build.json. The best one first; what the operating system keeps of registers is
// asked, too.
std::vector<Functions> possible() {
    std::vector<Functions> sets;
#if defined(__x86_64__) && !defined(TRIBOND_PLAIN_ALONE)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        sets.push_back(FUNCTIONS(avx512));
    if (avx2) sets.push_back(FUNCTIONS(avx2));
#endif
    sets.push_back(FUNCTIONS(plain));
    return sets;
}

Functions choose() {
    const std::vector<Functions> sets = possible();
    const char* wish = std::getenv("TRIBOND_INSTRUCTIONS");
    if (wish == nullptr || *wish == '\0') return sets.front();
    for (const Functions& set : sets)
        if (std::strcmp(set.name, wish) == 0) return set;
    std::string names;
    for (const Functions& set : sets) names += (names.empty() ? "" : ", ") + std::string(set.name);
    throw Error(TRIBOND_BAD_ARGUMENT, "TRIBOND_INSTRUCTIONS=" + std::string(wish) + ": this processor and library have " + names);
}

}  // namespace

const Functions& functions() {
    static const Functions chosen = choose();  // tried again if it throws
    return chosen;
}

}  // namespace tribond
