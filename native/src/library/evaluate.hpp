// Checks of what a caller gives, and sums over what the engine gives back.
#pragma once

#include "library/model.hpp"
#include "tribond.h"

namespace tribond {

// Both throw Error.
void evaluate(const tribond_model& model, const tribond_graph& graph, tribond_results& results);
void evaluate(const tribond_model& model, const tribond_structure& structure, tribond_results& results);

}  // namespace tribond
