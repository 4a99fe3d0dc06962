/* ----------------------------------------------------------------------
   pair_style tribond: the graph of a step, from LAMMPS' atoms and list of neighbours.
   Part of tribond; licence BSD-3-Clause. LAMMPS itself is GPL-2.
------------------------------------------------------------------------- */

#include "pair_tribond.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "neigh_list.h"

#include <algorithm>
#include <cmath>

using namespace LAMMPS_NS;

static constexpr double SHORTEST = 0.1;    // Angstrom, as in the library, which does not know LAMMPS' numbers of atoms

/* ----------------------------------------------------------------------
   A single process needs no exchange: its ghosts are images of its own atoms, so edges end at these, and the graph
   has no ghosts. With several, all ghosts are rows: some are only passed on to other processes.
------------------------------------------------------------------------- */

void PairTribond::build_atoms()
{
  const int *type = atom->type;
  const int nlocal = atom->nlocal;
  const int nall = nlocal + atom->nghost;

  row.resize(nall);
  local.clear();
  numbers.clear();
  const int last = comm->nprocs == 1 ? nlocal : nall;
  for (int i = 0; i < last; i++) {
    if (i == nlocal) nowned = local.size();
    const int32_t number = element[type[i]];
    row[i] = number ? static_cast<int>(local.size()) : -1;
    if (!number) continue;
    local.push_back(i);
    numbers.push_back(number);
  }
  if (last == nlocal) nowned = local.size();
  natoms = local.size();

  if (comm->nprocs == 1 && nall > nlocal) {
    task = OWNERS;
    comm->forward_comm(this, 1);
    task = ROWS;
  }
}

/* ----------------------------------------------------------------------
   The list of LAMMPS reaches a skin farther. It need not be in the order of atoms: e.g. other packages sort it.
------------------------------------------------------------------------- */

void PairTribond::build_edges()
{
  double **x = atom->x;
  const double cutsq_model = cutoff * cutoff;
  const int inum = list->inum;
  const int *ilist = list->ilist;

  std::vector<int> sorted;
  if (!std::is_sorted(ilist, ilist + inum)) {
    sorted.assign(ilist, ilist + inum);
    std::sort(sorted.begin(), sorted.end());
    ilist = sorted.data();
  }

  const auto name_of = [&](int i) { return atom->tag_enable ? atom->tag[i] : i + 1; };
  nedges = 0;
  for (int ii = 0; ii < inum; ii++) {
    const int i = ilist[ii];
    const int irow = row[i];
    if (irow < 0) continue;
    const int *jlist = list->firstneigh[i];
    const int jnum = list->numneigh[i];
    if (static_cast<size_t>(nedges + jnum) > centre.size()) {
      const size_t room = std::max<size_t>(nedges + jnum, centre.size() + centre.size() / 2);
      centre.resize(room);
      neighbour.resize(room);
      vectors.resize(3 * room);
    }
    for (int jj = 0; jj < jnum; jj++) {
      const int j = jlist[jj] & NEIGHMASK;
      const double dx = x[j][0] - x[i][0];
      const double dy = x[j][1] - x[i][1];
      const double dz = x[j][2] - x[i][2];
      const double rsq = dx * dx + dy * dy + dz * dz;
      if (rsq >= cutsq_model || row[j] < 0) continue;
      if (!(rsq > SHORTEST * SHORTEST))    // nor if a position is no number
        error->one(FLERR, "pair_style tribond: atoms {} and {} are {:g} Angstrom apart", name_of(i), name_of(j), sqrt(rsq));
      centre[nedges] = irow;
      neighbour[nedges] = row[j];
      vectors[3 * nedges] = dx;
      vectors[3 * nedges + 1] = dy;
      vectors[3 * nedges + 2] = dz;
      nedges++;
    }
  }
}
