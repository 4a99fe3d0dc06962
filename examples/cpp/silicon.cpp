// Energy, forces and stress of a silicon crystal with libtribond, without Python and without PyTorch:
//
//     tribond convert default model.safetensors
//     c++ silicon.cpp $(pkg-config --cflags --libs tribond) -o silicon
//     ./silicon model.safetensors
//
// The handle is wrapped once, so that errors become exceptions and nothing is forgotten.
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <vector>

#include "tribond.h"

namespace {

void check(int code) {
    if (code != TRIBOND_OK) throw std::runtime_error(tribond_last_error());
}

class Model {
public:
    explicit Model(const char* path) : model_(load(path), tribond_free) {}

    tribond_results evaluate(const tribond_structure& structure, std::vector<double>& forces) const {
        forces.resize(3 * structure.num_atoms);
        tribond_results results{};
        results.struct_size = sizeof results;
        results.forces = forces.data();
        results.num_forces = int64_t(forces.size());
        check(tribond_evaluate_structure(model_.get(), &structure, &results));
        return results;
    }

private:
    static tribond_model* load(const char* path) {
        tribond_model* model = nullptr;
        check(tribond_load(path, TRIBOND_FLOAT64, &model));
        return model;
    }

    std::unique_ptr<tribond_model, void (*)(tribond_model*)> model_;
};

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) return std::fprintf(stderr, "usage: silicon MODEL.safetensors\n"), 2;
    try {
        const double a = 5.43;
        std::vector<double> positions{0.01, 0, 0, 0, .5, .5, .5, 0, .5, .5, .5, 0, .25, .25, .25, .25, .75, .75, .75, .25, .75, .75, .75, .25};
        for (double& number : positions) number *= a;
        const std::vector<int32_t> numbers(positions.size() / 3, 14);
        tribond_structure crystal{};
        crystal.struct_size = sizeof crystal;
        crystal.num_atoms = int64_t(numbers.size());
        crystal.atomic_numbers = numbers.data();
        crystal.positions = positions.data();
        for (int x = 0; x < 3; ++x) crystal.cell[4 * x] = a, crystal.periodic[x] = 1;

        std::vector<double> forces;
        const tribond_results results = Model(arguments[1]).evaluate(crystal, forces);
        std::printf("energy %.10f eV\n", results.energy);
        for (size_t i = 0; i < forces.size(); i += 3)
            std::printf("force %.10f %.10f %.10f eV/A\n", forces[i], forces[i + 1], forces[i + 2]);
        std::printf("stress");
        for (double number : results.stress) std::printf(" %.10f", number);
        std::printf(" eV/A^3\n");
    } catch (const std::exception& error) {
        return std::fprintf(stderr, "%s\n", error.what()), 1;
    }
    return 0;
}
