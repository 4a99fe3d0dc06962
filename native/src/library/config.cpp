#include "library/config.hpp"

#include <set>

#include "library/elements.hpp"
#include "library/error.hpp"

namespace tribond {
namespace {

constexpr double SHORTEST = 0.1, LONGEST = 1000.0;  // Å; as in nn/config.py
constexpr int64_t WIDEST = 1 << 16, MOST_LAYERS = 100, MOST_RADIAL = 100, MOST_ANGULAR = 4;
constexpr int MOST_FUNCTIONS = 512;  // radial functions of one kind, as in engine/bases.hpp

// Settings that do not matter to a model that gives energies and has no state.
const std::set<std::string> OTHERS{
    "readout_weight_hidden", "set2set_steps", "set2set_layers", "classification", "num_targets", "target_mean",
    "target_std", "target_is_log", "state_size", "state_features", "state_hidden"};

[[noreturn]] void wrong(const std::string& name, const std::string& wanted) {
    throw Error(TRIBOND_BAD_FILE, "the setting " + name + " must be " + wanted);
}

int whole_number(const std::string& name, const Json& value, int64_t most) {
    if (value.kind != Json::Kind::integer || value.integer < 1 || value.integer > most)
        wrong(name, "a whole number from 1 to " + std::to_string(most));
    return int(value.integer);
}

double length(const std::string& name, const Json& value) {
    const bool number = value.kind == Json::Kind::integer || value.kind == Json::Kind::number;
    if (!number || !(value.number >= SHORTEST && value.number <= LONGEST)) wrong(name, "a length from 0.1 to 1000 Å");
    return value.number;
}

double fraction(const std::string& name, const Json& value) {
    if (value.kind != Json::Kind::number || !(value.number > 0 && value.number < 1)) wrong(name, "a number between 0 and 1");
    return value.number;
}

bool flag(const std::string& name, const Json& value) {
    if (value.kind != Json::Kind::boolean) wrong(name, "true or false");
    return value.boolean;
}

// Whether it is the first of two words.
bool is_first(const std::string& name, const Json& value, const char* first, const char* second) {
    if (value.kind == Json::Kind::string && value.string == first) return true;
    if (value.kind == Json::Kind::string && value.string == second) return false;
    wrong(name, std::string("\"") + first + "\" or \"" + second + "\"");
}

std::vector<int> widths(const std::string& name, const Json& value) {
    std::vector<int> all;
    if (value.kind != Json::Kind::array || int64_t(value.items.size()) > MOST_LAYERS) wrong(name, "at most 100 widths");
    for (const Json& item : value.items) all.push_back(whole_number(name, item, WIDEST));
    return all;
}

std::vector<int> elements(const Json& value) {
    std::vector<int> all;
    std::set<int> seen;
    if (value.kind != Json::Kind::array || value.items.empty()) wrong("elements", "a list of chemical symbols");
    for (const Json& item : value.items) {
        int number = LAST_ELEMENT;
        while (number > 0 && !(item.kind == Json::Kind::string && item.string == SYMBOLS[number])) --number;
        if (number == 0 || !seen.insert(number).second) wrong("elements", "distinct chemical symbols");
        all.push_back(number);
    }
    return all;
}

void set(Config& c, const std::string& name, const Json& value) {
    if (name == "elements") c.elements = elements(value);
    else if (name == "cutoff") c.cutoff = length(name, value);
    else if (name == "threebody_cutoff") c.threebody_cutoff = length(name, value);
    else if (name == "max_n") c.max_n = whole_number(name, value, MOST_RADIAL);
    else if (name == "max_l") c.max_l = whole_number(name, value, MOST_ANGULAR);
    else if (name == "bodies") {
        if (whole_number(name, value, MOST_LAYERS) != 3)
            throw Error(TRIBOND_UNSUPPORTED, "this model has terms of four bodies, which the library does not compute; in Python, tribond.load uses it");
    }
    else if (name == "num_blocks") c.num_blocks = whole_number(name, value, MOST_LAYERS);
    else if (name == "node_features") c.node_features = whole_number(name, value, WIDEST);
    else if (name == "edge_features") c.edge_features = whole_number(name, value, WIDEST);
    else if (name == "update_hidden") c.update_hidden = widths(name, value);
    else if (name == "readout_hidden") c.readout_hidden = widths(name, value);
    else if (name == "edge_basis") c.smooth_edge_basis = is_first(name, value, "smooth", "spherical_bessel");
    else if (name == "angle_radial_basis") c.smooth_angle_basis = is_first(name, value, "smooth", "spherical_bessel");
    else if (name == "angle_gate") c.gated_by_end = is_first(name, value, "end", "centre");
    else if (name == "message_target") c.onto_centre = is_first(name, value, "centre", "neighbour");
    else if (name == "block_order") c.atom_first = is_first(name, value, "atom_first", "bond_first");
    else if (name == "atom_gate_activation") c.silu_scale = is_first(name, value, "silu", "linear");
    else if (name == "edge_gate_bias") c.edge_gate_bias = flag(name, value);
    else if (name == "bond_embedding_bias") c.bond_embedding_bias = flag(name, value);
    else if (name == "repulsion") c.repulsion = is_first(name, value, "zbl", "none");
    else if (name == "repulsion_inner") c.repulsion_inner = fraction(name, value);
    else if (name == "repulsion_outer") c.repulsion_outer = fraction(name, value);
    else if (OTHERS.count(name) == 0)
        throw Error(TRIBOND_UNSUPPORTED, "the setting " + name + " is unknown to this tribond; use a newer one");
}

}  // namespace

Config Config::from(const Json& settings) {
    Config config;
    for (const auto& member : settings.members) {
        const auto& [name, value] = member;
        if (name == "readout" || name == "state") {
            if (value.kind != Json::Kind::string) wrong(name, "a word");
            if (name == "readout" && value.string != "extensive")
                throw Error(TRIBOND_UNSUPPORTED, "this is a model of a property, with a readout \"" + value.string +
                                                     "\", not a potential; in Python, tribond.load uses it");
            if (name == "state" && value.string != "none")
                throw Error(TRIBOND_UNSUPPORTED, "this model needs a state input, which the library does not have; in Python, tribond.load uses it");
            continue;
        }
        set(config, name, value);
    }
    if (config.elements.empty()) wrong("elements", "there");
    if (config.threebody_cutoff > config.cutoff) wrong("threebody_cutoff", "at most the cutoff");
    if (config.repulsion_inner >= config.repulsion_outer) wrong("repulsion_inner", "less than repulsion_outer");
    if (config.update_hidden.empty() || config.readout_hidden.empty())
        throw Error(TRIBOND_UNSUPPORTED, "a model whose updates or readout have no hidden layer is not computed by the library");
    if (config.angular() > MOST_FUNCTIONS || config.edge_basis() > MOST_FUNCTIONS)
        throw Error(TRIBOND_UNSUPPORTED, "a model with more than 512 radial functions of one kind is not computed by the library");
    return config;
}

}  // namespace tribond
