// Energy and forces of a crystal by a package of `tribond export`:  evaluate OUT.pt2
// docs/export.md describes inputs, outputs and metadata.

#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/torch.h>

#include <cstdio>
#include <exception>
#include <string>

#include "crystal.hpp"

// (n,) whole numbers, or (n, 3) lengths; the tensor has memory of its own.
static torch::Tensor tensor(const std::vector<std::int64_t>& numbers) {
  return torch::tensor(numbers, torch::kInt64);
}

static torch::Tensor tensor(const std::vector<Vector>& vectors) {
  const auto count = static_cast<std::int64_t>(vectors.size());
  auto result = torch::empty({count, 3}, torch::kFloat64);
  for (std::int64_t i = 0; i < count; ++i) {
    for (int x = 0; x < 3; ++x) result[i][x] = vectors[i][x];
  }
  return result;
}

static void evaluate(const std::string& path) {
  const c10::InferenceMode mode;
  torch::inductor::AOTIModelPackageLoader package(path);
  auto metadata = package.get_metadata();  // text: the cutoffs, the elements, the units
  std::printf("model %s, %s\n", metadata.at("name").c_str(), metadata.at("dtype").c_str());

  const Crystal crystal = silicon();
  const Bonds bonds = find_bonds(crystal, std::stod(metadata.at("cutoff_A")), std::stod(metadata.at("threebody_cutoff_A")));
  const auto num_atoms = static_cast<std::int64_t>(crystal.positions.size());
  std::vector<torch::Tensor> inputs{
      tensor(crystal.positions),
      tensor(crystal.atomic_numbers),
      torch::ones({num_atoms}, torch::kBool),  // owned: no atom here is a ghost
      torch::stack({tensor(bonds.centre), tensor(bonds.neighbour)}),
      tensor(bonds.shift),
      tensor(bonds.of_angles),
  };
  const torch::Device device(metadata.at("AOTI_DEVICE_KEY"));
  for (auto& input : inputs) input = input.to(device);

  auto outputs = package.run(inputs);  // energy, atomic energies, forces, virial
  for (auto& output : outputs) output = output.cpu();
  std::printf("energy %.12f eV\n", outputs[0].item<double>());
  const auto virial = outputs[3].contiguous();
  std::printf("virial");
  for (int k = 0; k < 9; ++k) std::printf(" %.12f", virial.data_ptr<double>()[k]);
  std::printf(" eV\nposition (A) and force (eV/A) of every atom\n");
  const auto forces = outputs[2].contiguous();
  for (std::int64_t i = 0; i < num_atoms; ++i) {
    const auto& [x, y, z] = crystal.positions[i];
    const double* f = forces.data_ptr<double>() + 3 * i;
    std::printf("%.12f %.12f %.12f  %.12f %.12f %.12f\n", x, y, z, f[0], f[1], f[2]);
  }
}

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: evaluate OUT.pt2\n");
    return 2;
  }
  try {
    evaluate(argv[1]);
  } catch (const c10::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what_without_backtrace());
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
