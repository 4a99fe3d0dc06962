/* tribond.h: energies, forces and virials of M3GNet interatomic potentials, for C, C++, Fortran, Julia and whatever else can
 * call C. The library behind it needs neither Python nor PyTorch.
 *
 * A crystal in a few lines (examples/c has the whole program):
 *
 *     tribond_model *model = NULL;
 *     tribond_structure silicon = {0};
 *     tribond_results results = {0};
 *
 *     if (tribond_load("model.safetensors", TRIBOND_FLOAT32, &model) != TRIBOND_OK) { puts(tribond_last_error()); exit(1); }
 *     silicon.struct_size = sizeof silicon;
 *     results.struct_size = sizeof results;
 *     ... fill `silicon`; point results.forces to 3 numbers for each atom ...
 *     if (tribond_evaluate_structure(model, &silicon, &results) != TRIBOND_OK) { puts(tribond_last_error()); exit(1); }
 *     printf("%f eV\n", results.energy);
 *     tribond_free(model);
 *
 * Units are Å and eV. Matrices are stored row by row. The library keeps no pointer that it is given beyond the call, and
 * hands out none that the caller would have to free, but for the model.
 *
 * Threads: a model may be evaluated by several threads at once. `tribond_set_threads` and `tribond_free` are for a time when
 * nobody evaluates it.
 *
 * What changes in this header within a TRIBOND_INTERFACE is added at the end of a structure or as a new function; programs
 * that were compiled with an earlier one go on to work, since `struct_size` says how much of a structure they know.
 */
#ifndef TRIBOND_H
#define TRIBOND_H

#include <stddef.h>
#include <stdint.h>

#define TRIBOND_VERSION "0.1.0"
#define TRIBOND_INTERFACE 1

#if defined(__GNUC__)
#define TRIBOND_API __attribute__((visibility("default")))
#else
#define TRIBOND_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------- errors, versions
 *
 * Functions that can fail return one of these codes. When it is not TRIBOND_OK, `tribond_last_error` says in a sentence what
 * is wrong and what to do, and outputs hold nothing of use.
 */
enum {
    TRIBOND_OK = 0,
    TRIBOND_BAD_ARGUMENT = 1,    /* NULL, a size that does not fit, edges out of order or out of range, NaN, ... */
    TRIBOND_UNKNOWN_ELEMENT = 2, /* an atom of an element that the model does not know */
    TRIBOND_BAD_FILE = 3,        /* cannot be read, is damaged, or is no model file */
    TRIBOND_UNSUPPORTED = 4,     /* a model file in order that this library does not compute: it says why */
    TRIBOND_NO_MEMORY = 5,
    TRIBOND_EXCHANGE_FAILED = 6, /* `forward` or `reverse` returned something else than 0 */
    TRIBOND_FAILED = 7           /* a fault of the library: please report it */
};

/* What the last call of this thread that failed had to say; "" if none did. Valid until the next call in this thread. */
TRIBOND_API const char *tribond_last_error(void);

/* TRIBOND_VERSION and TRIBOND_INTERFACE of the library, as opposed to those of the header that a program was compiled with. */
TRIBOND_API const char *tribond_version(void);
TRIBOND_API int tribond_interface(void);

/* The instructions that the library uses on this processor, found out when it is first needed: "avx512", "avx2" or "plain".
 * The environment variable TRIBOND_INSTRUCTIONS lowers it. */
TRIBOND_API const char *tribond_instructions(void);

/* ------------------------------------------------------------------------------------------------- models */

typedef struct tribond_model tribond_model;

enum {
    TRIBOND_AS_STORED = 0, /* the precision in which the file has the weights */
    TRIBOND_FLOAT32 = 4,   /* network in float; bond lengths, bases, energies and all sums over bonds in double */
    TRIBOND_FLOAT64 = 8
};

/* Load a model file: what `tribond convert` and `tribond train` write (*.safetensors).
 *
 * path       name of the file, ended by a zero
 * precision  one of the three above
 * model      set to the model, to be given to `tribond_free`; to NULL on failure
 */
TRIBOND_API int tribond_load(const char *path, int precision, tribond_model **model);

/* The same from the content of a file in memory, for programs that read it once and send it to many processes.
 *
 * bytes, size  the content; not needed any more after the call
 * name         stands for the path in error messages; may be NULL
 */
TRIBOND_API int tribond_load_bytes(const void *bytes, size_t size, const char *name, int precision, tribond_model **model);

/* NULL is allowed. */
TRIBOND_API void tribond_free(tribond_model *model);

/* How many threads an evaluation may use, at least 1. A new model has as many as the environment variable OMP_NUM_THREADS
 * says, or as the processors that this process may run on. The result is the same bit by bit for any number. */
TRIBOND_API int tribond_set_threads(tribond_model *model, int threads);
TRIBOND_API int tribond_threads(const tribond_model *model);

/* What an evaluation may keep of intermediate results (bytes; 380 million in a new model), some 2.6 kB for each edge and
 * block of a model with 64 features in float32. With less it computes parts of the network twice: slower, with the same
 * result bit by bit. */
TRIBOND_API int tribond_set_kept_bytes(tribond_model *model, int64_t bytes);

/* What is to be known about a model. Of a model that is NULL these return 0, "" or NULL. Strings and arrays belong to the
 * model and live as long. */
TRIBOND_API const char *tribond_name(const tribond_model *model);        /* "unnamed" where the file has none */
TRIBOND_API const char *tribond_metadata(const tribond_model *model);    /* JSON: format_version, config, metadata of the file */
TRIBOND_API double tribond_cutoff(const tribond_model *model);           /* Å; longest bond */
TRIBOND_API double tribond_threebody_cutoff(const tribond_model *model); /* Å; longest bond of an angle */
TRIBOND_API int tribond_precision(const tribond_model *model);           /* bytes of a number: TRIBOND_FLOAT32 or _FLOAT64 */
TRIBOND_API const char *tribond_length_unit(const tribond_model *model); /* "Angstrom" */
TRIBOND_API const char *tribond_energy_unit(const tribond_model *model); /* "eV" */

/* The elements that the model knows: how many, their atomic numbers (num_elements,), and the symbol of each, such as "Si";
 * NULL for an index out of range. */
TRIBOND_API int tribond_num_elements(const tribond_model *model);
TRIBOND_API const int32_t *tribond_atomic_numbers(const tribond_model *model);
TRIBOND_API const char *tribond_symbol(const tribond_model *model, int index);

/* The atomic number of a symbol such as "Si" if the model knows the element, else 0. */
TRIBOND_API int tribond_find_element(const tribond_model *model, const char *symbol);

/* eV, once for a whole system, whatever its size: zero in most models. `tribond_evaluate_structure` adds it,
 * `tribond_evaluate` does not: it may see but a part of a system. */
TRIBOND_API double tribond_energy_offset(const tribond_model *model);

/* ------------------------------------------------------------------------------------------------- results */

/* What an evaluation writes. Arrays belong to the caller. One that is not wanted is NULL with a size of 0; the size of another
 * one, in numbers, must be exactly what stands beside it. Nothing is added to what was there: arrays are written over.
 *
 * Of an edge from centre i to neighbour j with vector r and g = dE/dr, the force on i gets +g, that on j gets -g, the virial
 * gets r ⊗ g, and the virials of i and of j get half of that each. E is the energy of the owned atoms.
 */
typedef struct tribond_results {
    size_t struct_size; /* sizeof(tribond_results), set by the caller */

    double energy;    /* eV; of all owned atoms (tribond_evaluate), or of the system with the offset (..._structure) */
    double virial[9]; /* eV; dE/dε, symmetric, tension positive: minus what LAMMPS calls the virial */
    double stress[9]; /* eV/Å³; virial / volume for a structure that is periodic along all axes, else NaN */

    double *atomic_energies; /* eV */
    int64_t num_atomic_energies; /* num_owned */

    double *forces; /* eV/Å; those of ghosts are still to be added to the atoms that they are copies of */
    int64_t num_forces; /* 3 · num_atoms */

    double *atomic_virials; /* eV; 3 × 3 for each atom, not symmetric, of ghosts as for forces; their sum is the virial */
    int64_t num_atomic_virials; /* 9 · num_atoms */

    double *edge_gradients; /* eV/Å; dE/dr of each edge, zero beyond the cutoff. Only in `tribond_evaluate` */
    int64_t num_edge_gradients; /* 3 · num_edges */
} tribond_results;

/* ------------------------------------------------------------------------------------------------- a structure */

/* A molecule, a slab or a crystal, of which the library finds the bonds. */
typedef struct tribond_structure {
    size_t struct_size; /* sizeof(tribond_structure), set by the caller */

    int64_t num_atoms;             /* 0 is allowed */
    const int32_t *atomic_numbers; /* (num_atoms,) 1 for H, ... */
    const double *positions;       /* (num_atoms, 3) Å; they need not lie in the cell */
    double cell[9];                /* Å; rows are the vectors a, b, c. Those of axes that are not periodic are not used */
    int32_t periodic[3];           /* 1 where the structure repeats along a, b, c; else 0 */
} tribond_structure;

/* Energy and derivatives of a structure. results->num_atomic_energies is num_atoms here, and there are no edge_gradients. */
TRIBOND_API int tribond_evaluate_structure(const tribond_model *model, const tribond_structure *structure,
                                           tribond_results *results);

/* ------------------------------------------------------------------------------------------------- a graph
 *
 * For programs with a search of their own, such as codes for molecular dynamics, on one process or on many.
 *
 * Of the atoms the first num_owned are owned: they have energies, readout, and all edges that start at them. The others are
 * ghosts: copies of atoms that another process owns, or of periodic images of one's own. There are two ways to use ghosts.
 *
 * 1. With an exchange (`forward` and `reverse` are set): ghosts are as deep as the cutoff, no edge starts at a ghost, and the
 *    features of ghosts are fetched from their owners between the blocks of the network. All processes that together hold a
 *    system call `tribond_evaluate` at the same time, each with its domain. The sequence of calls of the two functions,
 *    and their widths, depend on the model alone: they are the same on a process that owns nothing or has no edge.
 *
 * 2. Without: no function is called, and nothing tells a ghost from another atom but that it has no energy. Either each edge
 *    ends at an owned atom, since the vectors say which image is meant (num_owned = num_atoms, one process). Or ghosts are as
 *    deep as all blocks together, num_blocks · cutoff, and have edges of their own.
 */

/* Exchange of features or their derivatives.
 *
 * context  exchange_context of the graph
 * rows     (num_atoms, width) numbers, float or double as tribond_precision says: those of owned atoms, then those of ghosts
 * width    at most tribond_exchange_width
 *
 * As `forward`: fill the row of each ghost with that of its owner. As `reverse`: add the row of each ghost to that of its
 * owner. Both return 0, or something else to end the evaluation with TRIBOND_EXCHANGE_FAILED: then the processes are no
 * longer in step, and the program should end. The functions are called in the thread that called `tribond_evaluate`,
 * and must not evaluate themselves.
 */
typedef int (*tribond_exchange)(void *context, void *rows, int64_t width);

typedef struct tribond_graph {
    size_t struct_size; /* sizeof(tribond_graph), set by the caller */

    int64_t num_atoms;             /* owned and ghosts; 0 is allowed */
    int64_t num_owned;             /* of these, the first; 0 is allowed */
    const int32_t *atomic_numbers; /* (num_atoms,) also of ghosts */

    int64_t num_edges;        /* 0 is allowed. Each bond is two edges, one from each end */
    const int64_t *centre;    /* (num_edges,) atom at which an edge starts, ascending */
    const int64_t *neighbour; /* (num_edges,) atom at which it ends; may be the centre itself, as a periodic image */
    const double *vectors;    /* (num_edges, 3) Å; position of the neighbour (of the image meant) minus that of the centre.
                                 Edges of the cutoff's length or longer count nothing, so that a list with a skin may be given */

    tribond_exchange forward; /* both or none */
    tribond_exchange reverse;
    void *exchange_context; /* handed to them; may be NULL */
} tribond_graph;

/* Energy and derivatives of a graph. */
TRIBOND_API int tribond_evaluate(const tribond_model *model, const tribond_graph *graph, tribond_results *results);

/* The exchange that a model needs: numbers in the widest row, and how often `forward` and `reverse` are called in an
 * evaluation. Models whose messages go to the neighbour (MatGL before version 3) need about twice as many. */
TRIBOND_API int64_t tribond_exchange_width(const tribond_model *model);
TRIBOND_API int tribond_num_forward(const tribond_model *model);
TRIBOND_API int tribond_num_reverse(const tribond_model *model);

#ifdef __cplusplus
}
#endif

#endif /* TRIBOND_H */
