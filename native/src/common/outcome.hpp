// What the functions of a compiled instruction set return. compiled.py knows the numbers, too.
#pragma once

namespace tribond {

enum Outcome { DONE = 0, BAD_GRAPH = 1, NO_MEMORY = 2, FAILED = 3, BAD_MODEL = 4, EXCHANGE_FAILED = 5 };

}  // namespace tribond
