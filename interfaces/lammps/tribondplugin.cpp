/* ----------------------------------------------------------------------
   pair_style tribond as a plugin of LAMMPS: plugin load tribondplugin.so
   Part of tribond; licence BSD-3-Clause. LAMMPS itself is GPL-2.
------------------------------------------------------------------------- */

#include "lammpsplugin_tribond.h"

#include "lammps.h"
#include "pair_tribond.h"

// tribond's build command asks the LAMMPS at hand. Without an answer LAMMPS just does not compare.

#ifndef TRIBOND_LAMMPS_VERSION
#define TRIBOND_LAMMPS_VERSION nullptr
#endif

using namespace LAMMPS_NS;

// LAMMPS casts it to Pair *(*)(LAMMPS *), so a Pair * it must be.

static Pair *create_pair(LAMMPS *lmp)
{
  return new PairTribond(lmp);
}

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void *lmp, void *handle, void *register_plugin)
{
  lammpsplugin_t plugin = {};
  plugin.version = TRIBOND_LAMMPS_VERSION;
  plugin.style = "pair";
  plugin.name = "tribond";
  plugin.info = "tribond pair style for M3GNet potentials";
  plugin.author = "the tribond developers";
  plugin.creator = reinterpret_cast<void *(*) (void *)>(create_pair);
  plugin.handle = handle;
  using Register = void (*)(lammpsplugin_t *, void *);
  reinterpret_cast<Register>(register_plugin)(&plugin, lmp);
}
