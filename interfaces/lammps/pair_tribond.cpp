/* ----------------------------------------------------------------------
   pair_style tribond: M3GNet potentials in LAMMPS, by tribond's C library.
   Part of tribond; licence BSD-3-Clause. LAMMPS itself is GPL-2.

   In an M3GNet the features of a bond depend on its two atoms and on the other bonds of its centre. So a rank needs
   ghosts one cutoff deep, if the features of ghosts are fetched from their owners between the blocks of the network,
   and the derivatives by them are sent back in the backward pass. The library asks for both by two callbacks, which are
   LAMMPS' forward and reverse communication here.

   This file computes a step. Beside it: _commands (what a deck says), _graph (atoms and edges of a step) and _exchange.
------------------------------------------------------------------------- */

#include "pair_tribond.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neighbor.h"

using namespace LAMMPS_NS;

/* ---------------------------------------------------------------------- */

PairTribond::PairTribond(LAMMPS *lmp) :
    Pair(lmp), model(nullptr), precision(TRIBOND_FLOAT32), nthreads(0), cutoff(0.0), announced(false),
    hybrid_checked(false), natoms(0), nowned(0), nedges(0), task(ROWS), values(nullptr), bytes(0), width(0), size(0)
{
  single_enable = 0;
  restartinfo = 0;
  writedata = 0;
  one_coeff = 1;
  manybody_flag = 1;

  // The virial comes from the library. As the sum of r x f over atoms LAMMPS would count it a second time.

  no_virial_fdotr_compute = 1;

  // The virial of an edge belongs to the atom at its end there, to both halves in the common per-atom virial.

  centroidstressflag = CENTROID_AVAIL;
}

/* ---------------------------------------------------------------------- */

PairTribond::~PairTribond()
{
  tribond_free(model);
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

/* ----------------------------------------------------------------------
   all processes come here at the same time, also those without atoms: the library communicates
------------------------------------------------------------------------- */

void PairTribond::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);

  // Ghosts must be as deep as bonds are long. LAMMPS sees to it; comm_modify multi may not.

  if (neighbor->ago == 0 && comm->get_comm_cutoff() < cutoff)
    error->all(FLERR, "pair_style tribond needs ghost atoms {:g} Angstrom deep, they are {:g}: comm_modify cutoff {:g}", cutoff,
               comm->get_comm_cutoff(), cutoff + neighbor->skin);

  if (!hybrid_checked) check_bonds_of_types();
  build_atoms();
  build_edges();

  tribond_graph graph = {};
  graph.struct_size = sizeof(graph);
  graph.num_atoms = natoms;
  graph.num_owned = nowned;
  graph.atomic_numbers = numbers.data();
  graph.num_edges = nedges;
  graph.centre = centre.data();
  graph.neighbour = neighbour.data();
  graph.vectors = vectors.data();
  if (comm->nprocs > 1) {
    graph.forward = forward;
    graph.reverse = reverse;
    graph.exchange_context = this;
  }

  tribond_results results = {};
  results.struct_size = sizeof(results);
  forces.resize(3 * natoms);
  results.forces = forces.data();
  results.num_forces = 3 * natoms;
  if (eflag_atom) {
    energies.resize(nowned);
    results.atomic_energies = energies.data();
    results.num_atomic_energies = nowned;
  }
  if (vflag_atom) {
    virials.resize(9 * natoms);
    results.atomic_virials = virials.data();
    results.num_atomic_virials = 9 * natoms;
  }
  if (cvflag_atom) {
    gradients.resize(3 * nedges);
    results.edge_gradients = gradients.data();
    results.num_edge_gradients = 3 * nedges;
  }

  const int outcome = tribond_evaluate(model, &graph, &results);
  if (outcome != TRIBOND_OK) error->one(FLERR, "pair_style tribond: {}", tribond_last_error());
  add_results(results);
}

/* ----------------------------------------------------------------------
   What ghosts get here, LAMMPS sends to their owners: forces at once, per-atom virials when a compute asks for them.
------------------------------------------------------------------------- */

void PairTribond::add_results(const tribond_results &results)
{
  double **f = atom->f;
  for (int64_t a = 0; a < natoms; a++)
    for (int k = 0; k < 3; k++) f[local[a]][k] += forces[3 * a + k];

  if (eflag_global) {
    eng_vdwl += results.energy;
    if (comm->me == 0) eng_vdwl += tribond_energy_offset(model);    // of the system as a whole
  }
  if (eflag_atom)
    for (int64_t a = 0; a < nowned; a++) eatom[local[a]] += energies[a];

  // LAMMPS' virial is the sum of r x f, which is minus dE/d(strain). Its order: xx, yy, zz, xy, xz, yz, yx, zx, zy.

  static const int at[9] = {0, 4, 8, 1, 2, 5, 3, 6, 7};
  if (vflag_global)
    for (int k = 0; k < 6; k++) virial[k] -= results.virial[at[k]];

  // Half of an edge's virial for each of its ends, made symmetric.

  if (vflag_atom)
    for (int64_t a = 0; a < natoms; a++) {
      const double *w = &virials[9 * a];
      double *v = vatom[local[a]];
      for (int k = 0; k < 3; k++) v[k] -= w[at[k]];
      for (int k = 3; k < 6; k++) v[k] -= 0.5 * (w[at[k]] + w[at[k + 3]]);
    }

  // The energy of an edge lies with its centre, of which the neighbour's position is measured: r x f is the
  // neighbour's. This is the form of the heat flux of many-body potentials (Fan et al., Phys. Rev. B 92, 094301).

  if (cvflag_atom)
    for (int64_t e = 0; e < nedges; e++) {
      double *v = cvatom[local[neighbour[e]]];
      for (int k = 0; k < 9; k++) v[k] -= vectors[3 * e + at[k] / 3] * gradients[3 * e + at[k] % 3];
    }
}

/* ----------------------------------------------------------------------
   of this style; the library's own memory comes and goes within a step
------------------------------------------------------------------------- */

double PairTribond::memory_usage()
{
  double total = Pair::memory_usage();
  total += sizeof(int) * static_cast<double>(row.capacity() + local.capacity() + numbers.capacity());
  total += sizeof(int64_t) * static_cast<double>(centre.capacity() + neighbour.capacity());
  total += sizeof(double) * static_cast<double>(vectors.capacity() + energies.capacity() + forces.capacity());
  total += sizeof(double) * static_cast<double>(virials.capacity() + gradients.capacity());
  return total;
}
