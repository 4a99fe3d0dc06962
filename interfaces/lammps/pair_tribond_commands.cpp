/* ----------------------------------------------------------------------
   pair_style tribond: its commands, what it reads, and what it asks of the rest of a deck.
   Part of tribond; licence BSD-3-Clause. LAMMPS itself is GPL-2.
------------------------------------------------------------------------- */

#include "pair_tribond.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"

#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

using namespace LAMMPS_NS;

/* ----------------------------------------------------------------------
   pair_style tribond [precision single|double] [threads N]
------------------------------------------------------------------------- */

void PairTribond::settings(int narg, char **arg)
{
  precision = TRIBOND_FLOAT32;
  nthreads = 0;
  for (int iarg = 0; iarg < narg; iarg += 2) {
    const std::string keyword = arg[iarg];
    if (keyword != "precision" && keyword != "threads")
      error->all(FLERR, "pair_style tribond does not know '{}'; it takes: precision single|double, threads N", keyword);
    if (iarg + 1 >= narg) error->all(FLERR, "pair_style tribond: '{}' needs a value", keyword);
    const std::string value = arg[iarg + 1];
    if (keyword == "threads") {
      nthreads = utils::inumeric(FLERR, value, false, lmp);
      if (nthreads < 1) error->all(FLERR, "pair_style tribond: threads must be at least 1, not {}", value);
    } else if (value == "single") {
      precision = TRIBOND_FLOAT32;
    } else if (value == "double") {
      precision = TRIBOND_FLOAT64;
    } else {
      error->all(FLERR, "pair_style tribond: precision is single or double, not '{}'", value);
    }
  }

  // A new pair_style command with the same style comes here, too: its pair_coeff reads the model anew.

  tribond_free(model);
  model = nullptr;
}

/* ----------------------------------------------------------------------
   pair_coeff * * model.safetensors Li Fe P O
------------------------------------------------------------------------- */

void PairTribond::coeff(int narg, char **arg)
{
  const int ntypes = atom->ntypes;
  if (narg < 3) error->all(FLERR, "pair_coeff for tribond: write pair_coeff * * model.safetensors and an element for each atom type");
  if (strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
    error->all(FLERR, "pair_coeff for tribond must begin with * *: one model describes all atom types");
  if (narg - 3 != ntypes)
    error->all(FLERR, "pair_coeff for tribond names {} element{} for {} atom type{}; name one for each type, in their order", narg - 3,
               narg == 4 ? "" : "s", ntypes, ntypes == 1 ? "" : "s");

  read_model(arg[2]);

  if (!allocated) {
    allocated = 1;
    memory->create(setflag, ntypes + 1, ntypes + 1, "pair:setflag");
    memory->create(cutsq, ntypes + 1, ntypes + 1, "pair:cutsq");
  }
  element.assign(ntypes + 1, 0);
  int count = 0;
  for (int itype = 1; itype <= ntypes; itype++) {
    const char *symbol = arg[2 + itype];
    if (strcmp(symbol, "NULL") == 0) continue;    // pair_style hybrid: another style describes this type
    element[itype] = tribond_find_element(model, symbol);
    if (element[itype] == 0) {
      std::string known;
      for (int i = 0; i < tribond_num_elements(model); i++) known += std::string(" ") + tribond_symbol(model, i);
      error->all(FLERR, "pair_coeff for tribond: the model in {} does not know '{}'; it knows{}", arg[2], symbol, known);
    }
    count++;
  }
  if (count == 0) error->all(FLERR, "pair_coeff for tribond: all atom types are NULL");
  for (int i = 1; i <= ntypes; i++)
    for (int j = 1; j <= ntypes; j++) setflag[i][j] = element[i] && element[j] ? 1 : 0;
}

/* ----------------------------------------------------------------------
   what is wrong with a file, or nothing and its content
------------------------------------------------------------------------- */

static std::string read_file(const std::string &path, std::vector<char> &content)
{
  FILE *file = fopen(path.c_str(), "rb");
  if (!file) return strerror(errno);
  char piece[1 << 16];
  size_t count;
  while (content.size() <= INT32_MAX && (count = fread(piece, 1, sizeof(piece), file)) > 0)
    content.insert(content.end(), piece, piece + count);
  std::string reason;
  if (ferror(file)) reason = strerror(errno);    // such as of a folder
  else if (content.empty()) reason = "it is empty";
  else if (content.size() > INT32_MAX) reason = "it is too large for a model";
  fclose(file);
  return reason;
}

/* ----------------------------------------------------------------------
   one process reads the file and sends it to all, so that a thousand of them do not ask the file system at once
------------------------------------------------------------------------- */

void PairTribond::read_model(const std::string &name)
{
  tribond_free(model);
  model = nullptr;

  std::vector<char> content;
  std::string reason;
  if (comm->me == 0) {
    const std::string path = utils::get_potential_file_path(name);    // also looks where LAMMPS_POTENTIALS says
    reason = read_file(path.empty() ? name : path, content);
  }
  int64_t length = reason.empty() ? content.size() : -1;
  MPI_Bcast(&length, 1, MPI_INT64_T, 0, world);
  if (length < 0) error->all(FLERR, "pair_coeff for tribond: cannot read {}: {}", name, reason);
  content.resize(length);
  MPI_Bcast(content.data(), static_cast<int>(length), MPI_CHAR, 0, world);

  const int outcome = tribond_load_bytes(content.data(), content.size(), name.c_str(), precision, &model);
  int worst;
  MPI_Allreduce(&outcome, &worst, 1, MPI_INT, MPI_MAX, world);
  if (worst != TRIBOND_OK) {
    const char *reason = outcome != TRIBOND_OK ? tribond_last_error() : "another process cannot load the model";
    error->all(FLERR, "pair_coeff for tribond: {}", reason);
  }

  cutoff = tribond_cutoff(model);
  set_threads();
  announced = false;

  // In doubles: floats travel two by two.

  const int64_t most = tribond_exchange_width(model) * tribond_precision(model);
  comm_forward = comm_reverse = std::max<int>(1, (most + sizeof(double) - 1) / sizeof(double));
}

/* ----------------------------------------------------------------------
   threads N, else OMP_NUM_THREADS, else this process's share of the node's processors
------------------------------------------------------------------------- */

void PairTribond::set_threads()
{
  const int share = share_of_node();    // asked by all, as all must
  const char *wish = getenv("OMP_NUM_THREADS");
  int threads = nthreads;
  if (threads == 0) threads = wish && *wish ? tribond_threads(model) : share;
  if (tribond_set_threads(model, threads) != TRIBOND_OK) error->all(FLERR, "pair_style tribond: {}", tribond_last_error());
}

/* ----------------------------------------------------------------------
   The processors that LAMMPS may run on divided by its processes, on this node. Where each process has been given some of
   its own, no more than those.
------------------------------------------------------------------------- */

int PairTribond::share_of_node()
{
  int own = tribond_threads(model), all = own, ranks = 1;
#if !defined(MPI_STUBS)
  MPI_Comm node;
  MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  MPI_Comm_size(node, &ranks);
#if defined(__linux__)
  cpu_set_t mine, together;
  CPU_ZERO(&mine);
  if (sched_getaffinity(0, sizeof(mine), &mine) == 0) own = CPU_COUNT(&mine);
  MPI_Allreduce(&mine, &together, sizeof(mine), MPI_BYTE, MPI_BOR, node);
  all = CPU_COUNT(&together);
#endif
  MPI_Comm_free(&node);
#endif
  return std::max(1, std::min(own, all / ranks));
}

/* ---------------------------------------------------------------------- */

void PairTribond::init_style()
{
  check_settings();
  neighbor->add_request(this, NeighConst::REQ_FULL);

  // pair_style hybrid asks its styles for the size of messages before they have read their models.

  if (force->pair) {
    force->pair->comm_forward = std::max(force->pair->comm_forward, comm_forward);
    force->pair->comm_reverse = std::max(force->pair->comm_reverse, comm_reverse);
  }
  if (!announced) announce();
  hybrid_checked = false;
}

/* ---------------------------------------------------------------------- */

void PairTribond::check_settings()
{
  if (!model) error->all(FLERR, "pair_style tribond has no model yet: pair_coeff * * model.safetensors and an element for each type");
  if (strcmp(update->unit_style, "metal") != 0)
    error->all(FLERR, "pair_style tribond needs 'units metal' (eV, Angstrom), not 'units {}'", update->unit_style);
  if (!force->newton_pair)
    error->all(FLERR, "pair_style tribond needs 'newton on': forces on ghost atoms go back to their owners");
  if (tail_flag || offset_flag)
    error->all(FLERR, "pair_modify tail and shift are for pair potentials with a cut tail; pair_style tribond has none, leave them out");
  if (neighbor->includegroup)
    error->all(FLERR, "pair_style tribond needs all atoms as neighbours and ghosts; leave out 'neigh_modify include' and 'comm_modify group'");
  if ((neighbor->nex_type || neighbor->nex_group || neighbor->nex_mol) && comm->me == 0)
    error->warning(FLERR, "neigh_modify exclude takes bonds out of the graph of pair_style tribond, which changes energies of the atoms around them");

  // Where a molecule has bonds, LAMMPS may leave bonded neighbours out of the list.

  if (atom->molecular != Atom::ATOMIC && atom->nbonds > 0)
    for (int i = 1; i <= 3; i++)
      if (force->special_lj[i] == 0.0 && force->special_coul[i] == 0.0)
        error->all(FLERR, "pair_style tribond needs bonded atoms as neighbours, too: write 'special_bonds lj/coul 1 1 1'");
}

/* ----------------------------------------------------------------------
   pair_style hybrid leaves pairs of types that another style got out of the list: known when there is a list
------------------------------------------------------------------------- */

void PairTribond::check_bonds_of_types()
{
  hybrid_checked = true;
  if (!list->ijskip || comm->me != 0) return;
  for (int i = 1; i <= atom->ntypes; i++)
    for (int j = i; j <= atom->ntypes; j++)
      if (element[i] && element[j] && list->ijskip[i][j])
        error->warning(FLERR, "pair_style hybrid takes bonds of atom types {} and {} out of the graph of pair_style tribond, which "
                       "changes energies of the atoms around them; hybrid/overlay leaves them in", i, j);
}

/* ---------------------------------------------------------------------- */

void PairTribond::announce()
{
  announced = true;
  if (comm->me != 0) return;
  const int threads = tribond_threads(model);
  utils::logmesg(lmp, "tribond {} ({}): model {}, {} precision, cutoff {:g} Angstrom, {} thread{} for each MPI process\n",
                 tribond_version(), tribond_instructions(), tribond_name(model),
                 tribond_precision(model) == TRIBOND_FLOAT64 ? "double" : "single", cutoff, threads,
                 threads == 1 ? "" : "s");
}

/* ---------------------------------------------------------------------- */

double PairTribond::init_one(int i, int j)
{
  if (setflag[i][j] == 0) error->all(FLERR, "pair_style tribond: pair_coeff says nothing of atom types {} and {}", i, j);
  return cutoff;
}
