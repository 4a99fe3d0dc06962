/* -*- c++ -*- ----------------------------------------------------------
   pair_style tribond: M3GNet potentials in LAMMPS, by tribond's C library.
   Part of tribond; licence BSD-3-Clause. LAMMPS itself is GPL-2.
------------------------------------------------------------------------- */

#ifdef PAIR_CLASS
// clang-format off
PairStyle(tribond,PairTribond);
// clang-format on
#else

#ifndef LMP_PAIR_TRIBOND_H
#define LMP_PAIR_TRIBOND_H

#include "pair.h"

#include "tribond.h"

#include <cstdint>
#include <string>
#include <vector>

namespace LAMMPS_NS {

class PairTribond : public Pair {
 public:
  PairTribond(class LAMMPS *);
  ~PairTribond() override;

  void compute(int, int) override;
  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  double memory_usage() override;

  int pack_forward_comm(int, int *, double *, int, int *) override;
  void unpack_forward_comm(int, int, double *) override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;

 private:
  tribond_model *model;
  int precision;    // TRIBOND_FLOAT32 or TRIBOND_FLOAT64
  int nthreads;     // as the user says, or 0
  double cutoff;    // of the model, Angstrom
  bool announced, hybrid_checked;

  std::vector<int32_t> element;    // (ntypes+1) atomic number of a type, or 0 where pair_coeff has NULL

  // the graph of one step: owned atoms that the model describes, then ghosts, and edges sorted by their centre

  int64_t natoms, nowned, nedges;
  std::vector<int> row;            // (nlocal+nghost) atom of the graph, or -1
  std::vector<int> local;          // (natoms) the reverse
  std::vector<int32_t> numbers;    // (natoms)
  std::vector<int64_t> centre, neighbour;
  std::vector<double> vectors;    // (nedges, 3)

  std::vector<double> energies, forces, virials, gradients;    // results

  // what is being communicated

  enum { OWNERS, ROWS };
  int task;
  char *values;          // (natoms, bytes) rows of features or their derivatives
  size_t bytes;          // of a row
  int width;             // numbers in a row
  int size;              // of a row in a buffer of LAMMPS, in doubles

  void read_model(const std::string &);
  void set_threads();
  int share_of_node();
  void check_settings();
  void check_bonds_of_types();
  void announce();
  void build_atoms();
  void build_edges();
  void add_results(const tribond_results &);

  static int forward(void *, void *, int64_t);
  static int reverse(void *, void *, int64_t);
  void describe_rows(void *, int64_t);
};

}    // namespace LAMMPS_NS

#endif
#endif
