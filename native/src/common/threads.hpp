// Threads that share out numbered pieces of work. The result never depends on who does which piece.
#pragma once

#include <functional>

namespace tribond {

// Calls work(piece, worker) for every piece in [0, pieces), by up to `threads` workers numbered from 0, and returns when
// all are done. One caller at a time has the helpers; another one meanwhile works alone.
void share_out(int pieces, int threads, const std::function<void(int, int)>& work);

}  // namespace tribond
