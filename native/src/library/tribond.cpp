// The functions of tribond.h: each turns what goes wrong into a code and a sentence; no exception leaves the library.
#include "tribond.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <string>

#include "library/error.hpp"
#include "library/evaluate.hpp"
#include "library/instruction_sets.hpp"
#include "library/json.hpp"
#include "library/model.hpp"
#include "library/model_file.hpp"

using namespace tribond;

namespace {

// A fixed room: to say that there is no memory needs none. Longer sentences are cut.
thread_local char last_error[2048] = "";

int failed(int code, const char* text) {
    std::strncpy(last_error, text, sizeof last_error - 1);
    last_error[sizeof last_error - 1] = '\0';
    // Paths may be of any bytes, and the end within a letter: then letters beyond ASCII are left out.
    if (!valid_utf8(last_error))
        for (char* c = last_error; *c != '\0'; ++c)
            if ((*c & 0x80) != 0) *c = '?';
    return code;
}

// Calls `work`, and says what went wrong.
template <class Work> int guarded(Work work) {
    try {
        work();
        return TRIBOND_OK;
    } catch (const Error& error) {
        return failed(error.code, error.what());
    } catch (const std::bad_alloc&) {
        return failed(TRIBOND_NO_MEMORY, "there is not enough memory");
    } catch (const std::exception& error) {
        return failed(TRIBOND_FAILED, error.what());
    } catch (...) {
        return failed(TRIBOND_FAILED, "the library failed; please report it");
    }
}

// A structure of the caller as this library knows it, whose program may have been compiled with another header: what it did
// not know is zero, and what this library does not know must be.
template <class Struct> Struct known(const Struct* given, const char* name) {
    if (given == nullptr) throw Error(TRIBOND_BAD_ARGUMENT, std::string(name) + " is NULL");
    const size_t size = given->struct_size;
    if (size < sizeof(Struct) || size > 16 * sizeof(Struct))  // of the first interface, none is smaller
        throw Error(TRIBOND_BAD_ARGUMENT, "the struct_size of the " + std::string(name) + " is " + std::to_string(size) +
                                              "; set it to sizeof, " + std::to_string(sizeof(Struct)) + " here");
    const char* bytes = reinterpret_cast<const char*>(given);
    if (std::any_of(bytes + sizeof(Struct), bytes + size, [](char byte) { return byte != 0; }))
        throw Error(TRIBOND_UNSUPPORTED, "the program asks for what came after version " TRIBOND_VERSION " of the library");
    return *given;
}

template <class Given> int evaluate_any(const tribond_model* model, const Given* given, tribond_results* results, const char* name) {
    return guarded([&] {
        if (model == nullptr) throw Error(TRIBOND_BAD_ARGUMENT, "the model is NULL");
        const Given input = known(given, name);
        tribond_results output = known(results, "results");
        evaluate(*model, input, output);
        *results = output;
    });
}

int load(const std::string& content, const char* name, int precision, tribond_model** model) {
    if (precision != TRIBOND_AS_STORED && precision != TRIBOND_FLOAT32 && precision != TRIBOND_FLOAT64)
        return failed(TRIBOND_BAD_ARGUMENT, "the precision must be TRIBOND_AS_STORED, TRIBOND_FLOAT32 or TRIBOND_FLOAT64");
    return guarded([&] {
        try {
            *model = new tribond_model(content, precision);
        } catch (Error& error) {
            if (error.code == TRIBOND_BAD_FILE || error.code == TRIBOND_UNSUPPORTED) error.text = std::string(name) + ": " + error.text;
            throw;
        }
    });
}

}  // namespace

const char* tribond_last_error(void) { return last_error; }
const char* tribond_version(void) { return TRIBOND_VERSION; }
int tribond_interface(void) { return TRIBOND_INTERFACE; }

const char* tribond_instructions(void) {
    const char* name = "";
    guarded([&] { name = functions().name; });
    return name;
}

int tribond_load(const char* path, int precision, tribond_model** model) {
    if (model == nullptr) return failed(TRIBOND_BAD_ARGUMENT, "there is no place for the model: the pointer to it is NULL");
    *model = nullptr;
    if (path == nullptr) return failed(TRIBOND_BAD_ARGUMENT, "the path is NULL");
    std::string content;
    const int outcome = guarded([&] {
        try {
            content = read_file(path);
        } catch (Error& error) {
            error.text = std::string(path) + ": " + error.text;
            throw;
        }
    });
    return outcome == TRIBOND_OK ? load(content, path, precision, model) : outcome;
}

int tribond_load_bytes(const void* bytes, size_t size, const char* name, int precision, tribond_model** model) {
    if (model == nullptr) return failed(TRIBOND_BAD_ARGUMENT, "there is no place for the model: the pointer to it is NULL");
    *model = nullptr;
    if (bytes == nullptr) return failed(TRIBOND_BAD_ARGUMENT, "the bytes are NULL");
    std::string content;
    const int outcome = guarded([&] { content.assign(static_cast<const char*>(bytes), size); });
    return outcome == TRIBOND_OK ? load(content, name == nullptr ? "the model" : name, precision, model) : outcome;
}

void tribond_free(tribond_model* model) { delete model; }

int tribond_set_threads(tribond_model* model, int threads) {
    if (model == nullptr) return failed(TRIBOND_BAD_ARGUMENT, "the model is NULL");
    if (threads < 1 || threads > 1024) return failed(TRIBOND_BAD_ARGUMENT, "the number of threads must be from 1 to 1024");
    model->threads = threads;
    return TRIBOND_OK;
}

int tribond_threads(const tribond_model* model) { return model == nullptr ? 0 : model->threads; }

int tribond_set_kept_bytes(tribond_model* model, int64_t bytes) {
    if (model == nullptr) return failed(TRIBOND_BAD_ARGUMENT, "the model is NULL");
    if (bytes < 0) return failed(TRIBOND_BAD_ARGUMENT, "the number of bytes must not be negative");
    model->kept_bytes = bytes;
    return TRIBOND_OK;
}

const char* tribond_name(const tribond_model* model) { return model == nullptr ? "" : model->name.c_str(); }
const char* tribond_metadata(const tribond_model* model) { return model == nullptr ? "" : model->metadata.c_str(); }
double tribond_cutoff(const tribond_model* model) { return model == nullptr ? 0 : model->cutoff; }
double tribond_threebody_cutoff(const tribond_model* model) { return model == nullptr ? 0 : model->threebody_cutoff; }
int tribond_precision(const tribond_model* model) { return model == nullptr ? 0 : model->precision; }
const char* tribond_length_unit(const tribond_model* model) { return model == nullptr ? "" : "Angstrom"; }
const char* tribond_energy_unit(const tribond_model* model) { return model == nullptr ? "" : "eV"; }
int tribond_num_elements(const tribond_model* model) { return model == nullptr ? 0 : int(model->elements.size()); }
const int32_t* tribond_atomic_numbers(const tribond_model* model) { return model == nullptr ? nullptr : model->elements.data(); }

const char* tribond_symbol(const tribond_model* model, int index) {
    return index < 0 || index >= tribond_num_elements(model) ? nullptr : SYMBOLS[model->elements[size_t(index)]];
}

int tribond_find_element(const tribond_model* model, const char* symbol) {
    if (model == nullptr || symbol == nullptr) return 0;
    for (int32_t number : model->elements)
        if (std::strcmp(SYMBOLS[number], symbol) == 0) return number;
    return 0;
}

double tribond_energy_offset(const tribond_model* model) { return model == nullptr ? 0 : model->offset; }

int tribond_evaluate_structure(const tribond_model* model, const tribond_structure* structure, tribond_results* results) {
    return evaluate_any(model, structure, results, "structure");
}

int tribond_evaluate(const tribond_model* model, const tribond_graph* graph, tribond_results* results) {
    return evaluate_any(model, graph, results, "graph");
}

int64_t tribond_exchange_width(const tribond_model* model) { return model == nullptr ? 0 : model->exchange_width; }

// Those of engine/pass.hpp: v between blocks, and their derivatives in the backward pass; where messages go to the neighbour,
// sums of them and derivatives by them, too.
int tribond_num_forward(const tribond_model* model) {
    return model == nullptr ? 0 : (model->onto_centre ? 1 : 2) * model->num_blocks - 1;
}

int tribond_num_reverse(const tribond_model* model) { return tribond_num_forward(model); }
