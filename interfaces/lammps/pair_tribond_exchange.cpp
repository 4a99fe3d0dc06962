/* ----------------------------------------------------------------------
   pair_style tribond: rows of numbers travel between the processes, as LAMMPS' forward and reverse communication.
   Part of tribond; licence BSD-3-Clause. LAMMPS itself is GPL-2.
------------------------------------------------------------------------- */

#include "pair_tribond.h"

#include "comm.h"

#include <cstring>

using namespace LAMMPS_NS;

/* ----------------------------------------------------------------------
   the library's callbacks: rows of features to ghosts, rows of derivatives back to owners
------------------------------------------------------------------------- */

int PairTribond::forward(void *context, void *rows, int64_t numbers_in_row)
{
  auto *pair = static_cast<PairTribond *>(context);
  pair->describe_rows(rows, numbers_in_row);
  pair->comm->forward_comm(pair, pair->size);
  return 0;
}

int PairTribond::reverse(void *context, void *rows, int64_t numbers_in_row)
{
  auto *pair = static_cast<PairTribond *>(context);
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
