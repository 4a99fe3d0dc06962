/* Energy, forces and stress of a silicon crystal with libtribond, without Python:
 *
 *     tribond convert default model.safetensors
 *     cc silicon.c $(pkg-config --cflags --libs tribond) -o silicon
 *     ./silicon model.safetensors
 */
#include <stdio.h>

#include "tribond.h"

#define ATOMS 8

int main(int count, char **arguments) {
    const double a = 5.43;
    const double places[ATOMS][3] = {{0.01, 0, 0},   {0, 0.5, 0.5},     {0.5, 0, 0.5},     {0.5, 0.5, 0},
                                     {0.25, 0.25, 0.25}, {0.25, 0.75, 0.75}, {0.75, 0.25, 0.75}, {0.75, 0.75, 0.25}};
    double positions[ATOMS][3], forces[ATOMS][3];
    int32_t numbers[ATOMS];
    tribond_model *model = NULL;
    tribond_structure crystal = {0};
    tribond_results results = {0};
    int i, x;

    if (count != 2) {
        fprintf(stderr, "usage: silicon MODEL.safetensors\n");
        return 2;
    }
    for (i = 0; i < ATOMS; ++i) {
        numbers[i] = 14;
        for (x = 0; x < 3; ++x) positions[i][x] = a * places[i][x];
    }
    crystal.struct_size = sizeof crystal;
    crystal.num_atoms = ATOMS;
    crystal.atomic_numbers = numbers;
    crystal.positions = positions[0];
    for (x = 0; x < 3; ++x) {
        crystal.cell[4 * x] = a;
        crystal.periodic[x] = 1;
    }
    results.struct_size = sizeof results;
    results.forces = forces[0];
    results.num_forces = 3 * ATOMS;

    if (tribond_load(arguments[1], TRIBOND_FLOAT64, &model) != TRIBOND_OK ||
        tribond_evaluate_structure(model, &crystal, &results) != TRIBOND_OK) {
        fprintf(stderr, "%s\n", tribond_last_error());
        tribond_free(model);
        return 1;
    }
    printf("energy %.10f eV\n", results.energy);
    for (i = 0; i < ATOMS; ++i) printf("force %.10f %.10f %.10f eV/A\n", forces[i][0], forces[i][1], forces[i][2]);
    printf("stress");
    for (x = 0; x < 9; ++x) printf(" %.10f", results.stress[x]);
    printf(" eV/A^3\n");
    tribond_free(model);
    return 0;
}
