// Code that is compiled once for every instruction set stands in a namespace named after the set, and the functions that it
// gives to others have the set in their names: one library holds them all, and none of them calls what another one may use
// instructions for.
#pragma once

#ifndef INSTRUCTION_SET
#define INSTRUCTION_SET plain
#endif

#define TRIBOND_JOIN(set, name) tribond_##set##_##name
#define TRIBOND_NAME(set, name) TRIBOND_JOIN(set, name)
#define FUNCTION(name) TRIBOND_NAME(INSTRUCTION_SET, name)
#define PUBLIC extern "C" __attribute__((visibility("default")))
