// What the functions that Python calls return, and how it finds them. compiled.py knows the numbers, too.
#pragma once

#define PUBLIC extern "C" __attribute__((visibility("default")))

namespace tribond {

enum Outcome { DONE = 0, BAD_GRAPH = 1, NO_MEMORY = 2, FAILED = 3 };

}  // namespace tribond
