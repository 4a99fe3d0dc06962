/* ----------------------------------------------------------------------
   pair_style tribond: M3GNet potentials in LAMMPS, by tribond's C library.
   Part of tribond; licence BSD-3-Clause. LAMMPS itself is GPL-2.

   In an M3GNet the features of a bond depend on its two atoms and on the other bonds of its centre. So a rank needs
   ghosts one cutoff deep, if the features of ghosts are fetched from their owners between the blocks of the network,
   and the derivatives by them are sent back on the way back. The library asks for both by two callbacks, which are
   LAMMPS' forward and reverse communication here.
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

#include <algorithm>
#include <cerrno>
#include <cstring>

using namespace LAMMPS_NS;

/* ---------------------------------------------------------------------- */

PairTribond::PairTribond(LAMMPS *lmp) :
    Pair(lmp), model(nullptr), precision(TRIBOND_FLOAT32), nthreads(0), cutoff(0.0), announced(false), natoms(0),
    nowned(0), nedges(0), task(ROWS), values(nullptr), bytes(0), width(0), size(0), communicating(false)
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
   one process reads the file and sends it to all, so that a thousand of them do not ask the file system at once
------------------------------------------------------------------------- */

void PairTribond::read_model(const std::string &name)
{
  tribond_free(model);
  model = nullptr;

  std::vector<char> content;
  int64_t length = -1;
  std::string reason;
  if (comm->me == 0) {
    const std::string path = utils::get_potential_file_path(name);    // also looks where LAMMPS_POTENTIALS says
    errno = 0;
    FILE *file = fopen(path.empty() ? name.c_str() : path.c_str(), "rb");
    if (file) {
      if (fseek(file, 0, SEEK_END) == 0 && (length = ftell(file)) >= 0 && fseek(file, 0, SEEK_SET) == 0) {
        content.resize(length);
        if (fread(content.data(), 1, length, file) != static_cast<size_t>(length)) length = -1;
      }
      fclose(file);
    }
    if (length < 0) reason = errno ? strerror(errno) : "it is no file";
    if (length > INT32_MAX) {
      length = -1;
      reason = "it is too large for a model";
    }
  }
  MPI_Bcast(&length, 1, MPI_INT64_T, 0, world);
  if (length < 0) error->all(FLERR, "pair_coeff for tribond: cannot read {}: {}", name, reason);
  content.resize(length);
  MPI_Bcast(content.data(), static_cast<int>(length), MPI_CHAR, 0, world);

  const int outcome = tribond_load_bytes(content.data(), content.size(), name.c_str(), precision, &model);
  int worst;
  MPI_Allreduce(&outcome, &worst, 1, MPI_INT, MPI_MAX, world);
  if (worst != TRIBOND_OK) {
    const char *said = outcome != TRIBOND_OK ? tribond_last_error() : "another process cannot load the model";
    error->all(FLERR, "pair_coeff for tribond: {}", said);
  }

  cutoff = tribond_cutoff(model);
  set_threads();
  announced = false;

  // In doubles: floats travel two by two.

  const int64_t most = tribond_exchange_width(model) * tribond_precision(model);
  comm_forward = comm_reverse = std::max<int>(1, (most + sizeof(double) - 1) / sizeof(double));
}

/* ----------------------------------------------------------------------
   threads N, else OMP_NUM_THREADS, else this node's processors shared among its processes
------------------------------------------------------------------------- */

void PairTribond::set_threads()
{
  int threads = nthreads;
  if (threads == 0) {
    threads = tribond_threads(model);    // OMP_NUM_THREADS, or the processors that this process may run on
    const int ranks = ranks_of_node();    // asked by all, as all must
    const char *said = getenv("OMP_NUM_THREADS");
    if (!said || !*said) threads = std::max(1, threads / ranks);
  }
  tribond_set_threads(model, threads);
}

/* ---------------------------------------------------------------------- */

int PairTribond::ranks_of_node()
{
#if defined(MPI_STUBS)
  return 1;
#else
  MPI_Comm node;
  int ranks;
  MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  MPI_Comm_size(node, &ranks);
  MPI_Comm_free(&node);
  return ranks;
#endif
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

  communicating = true;
  const int outcome = tribond_evaluate(model, &graph, &results);
  communicating = false;
  if (outcome != TRIBOND_OK) error->one(FLERR, "pair_style tribond: {}", tribond_last_error());
  add_results(results);
}

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
      if (!(dx * dx + dy * dy + dz * dz < cutsq_model)) continue;
      if (row[j] < 0) continue;
      centre[nedges] = irow;
      neighbour[nedges] = row[j];
      vectors[3 * nedges] = dx;
      vectors[3 * nedges + 1] = dy;
      vectors[3 * nedges + 2] = dz;
      nedges++;
    }
  }
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
   the library's callbacks: rows of features to ghosts, rows of derivatives back to owners
------------------------------------------------------------------------- */

int PairTribond::forward(void *context, void *rows, int64_t numbers_in_row)
{
  auto *pair = static_cast<PairTribond *>(context);
  if (!pair->communicating) return 1;
  pair->describe_rows(rows, numbers_in_row);
  pair->comm->forward_comm(pair, pair->size);
  return 0;
}

int PairTribond::reverse(void *context, void *rows, int64_t numbers_in_row)
{
  auto *pair = static_cast<PairTribond *>(context);
  if (!pair->communicating) return 1;
  pair->describe_rows(rows, numbers_in_row);
  pair->comm->reverse_comm(pair, pair->size);
  return 0;
}

void PairTribond::describe_rows(void *rows, int64_t numbers_in_row)
{
  values = static_cast<char *>(rows);
  width = static_cast<int>(numbers_in_row);
  bytes = static_cast<size_t>(width) * tribond_precision(model);
  size = static_cast<int>((bytes + sizeof(double) - 1) / sizeof(double));
}

/* ---------------------------------------------------------------------- */

int PairTribond::pack_forward_comm(int n, int *sent, double *buf, int /*pbc_flag*/, int * /*pbc*/)
{
  if (task == OWNERS) {
    for (int i = 0; i < n; i++) buf[i] = row[sent[i]];
    return n;
  }
  for (int i = 0; i < n; i++) {
    const int r = row[sent[i]];
    if (r >= 0) memcpy(buf + static_cast<size_t>(i) * size, values + r * bytes, bytes);
  }
  return n * size;
}

void PairTribond::unpack_forward_comm(int n, int first, double *buf)
{
  if (task == OWNERS) {
    for (int i = 0; i < n; i++) row[first + i] = static_cast<int>(buf[i]);
    return;
  }
  for (int i = 0; i < n; i++) {
    const int r = row[first + i];
    if (r >= 0) memcpy(values + r * bytes, buf + static_cast<size_t>(i) * size, bytes);
  }
}

int PairTribond::pack_reverse_comm(int n, int first, double *buf)
{
  for (int i = 0; i < n; i++) {
    const int r = row[first + i];
    if (r >= 0) memcpy(buf + static_cast<size_t>(i) * size, values + r * bytes, bytes);
  }
  return n * size;
}

namespace {
template <typename Number> void add_row(char *row, const double *sent, int width)
{
  auto *to = reinterpret_cast<Number *>(row);
  auto *from = reinterpret_cast<const Number *>(sent);
  for (int k = 0; k < width; k++) to[k] += from[k];
}
}    // namespace

void PairTribond::unpack_reverse_comm(int n, int *received, double *buf)
{
  const bool is_double = tribond_precision(model) == TRIBOND_FLOAT64;
  for (int i = 0; i < n; i++) {
    const int r = row[received[i]];
    if (r < 0) continue;
    const double *sent = buf + static_cast<size_t>(i) * size;
    if (is_double)
      add_row<double>(values + r * bytes, sent, width);
    else
      add_row<float>(values + r * bytes, sent, width);
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
