// For sanitizers: spoilt model files and graphs, then evaluations from several threads at once and domains that exchange.
//
//     abuse_library MODEL.safetensors SEED MILLISECONDS
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tribond.h"

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const char* what) {
    std::printf("%s: %s\n", what, tribond_last_error());
    std::exit(1);
}

// A chain of silicon atoms, each bonded to all within the cutoff and a bit beyond.
struct Chain {
    std::vector<int32_t> numbers;
    std::vector<int64_t> centre, neighbour;
    std::vector<double> vectors;
    int64_t owned;

    Chain(int64_t atoms, int64_t owned_, uint32_t seed) : numbers(size_t(atoms), 14), owned(owned_) {
        std::mt19937 random(seed);
        std::uniform_real_distribution<double> noise(-0.3, 0.3);
        std::vector<double> places;
        for (int64_t i = 0; i < atoms; ++i) {
            places.push_back(1.7 * double(i));
            for (int x = 0; x < 2; ++x) places.push_back(noise(random));
        }
        for (int64_t i = 0; i < owned; ++i)
            for (int64_t j = 0; j < atoms; ++j) {
                if (i == j || std::abs(places[3 * i] - places[3 * j]) > 5.5) continue;
                centre.push_back(i), neighbour.push_back(j);
                for (int x = 0; x < 3; ++x) vectors.push_back(places[3 * j + x] - places[3 * i + x]);
            }
    }

    tribond_graph graph() const {
        tribond_graph g{};
        g.struct_size = sizeof g;
        g.num_atoms = int64_t(numbers.size()), g.num_owned = owned;
        g.atomic_numbers = numbers.data();
        g.num_edges = int64_t(centre.size());
        g.centre = centre.data(), g.neighbour = neighbour.data(), g.vectors = vectors.data();
        return g;
    }
};

struct Output {
    std::vector<double> energies, forces, virials, gradients;
    tribond_results results{};

    explicit Output(const tribond_graph& g)
        : energies(g.num_owned), forces(3 * g.num_atoms), virials(9 * g.num_atoms), gradients(3 * g.num_edges) {
        results.struct_size = sizeof results;
        results.atomic_energies = energies.data(), results.num_atomic_energies = int64_t(energies.size());
        results.forces = forces.data(), results.num_forces = int64_t(forces.size());
        results.atomic_virials = virials.data(), results.num_atomic_virials = int64_t(virials.size());
        results.edge_gradients = gradients.data(), results.num_edge_gradients = int64_t(gradients.size());
    }
};

void spoil_files(const std::string& content, std::mt19937& random, Clock::time_point end) {
    long loaded = 0, refused = 0;
    while (Clock::now() < end) {
        std::string spoilt = content;
        const size_t header = 8 + (static_cast<unsigned char>(content[0]) | static_cast<unsigned char>(content[1]) << 8);
        for (unsigned n = 1 + random() % 4; n > 0; --n) {
            const size_t place = random() % (random() % 8 != 0 ? header : spoilt.size());
            if (random() % 3 == 0) spoilt.erase(place % spoilt.size(), 1 + random() % 8);
            else spoilt[place % spoilt.size()] = char(random());
        }
        const size_t checksum = spoilt.find("checksum");
        if (random() % 4 != 0 && checksum != std::string::npos) spoilt[checksum] = 'z';
        tribond_model* model = nullptr;
        const int code = tribond_load_bytes(spoilt.data(), spoilt.size(), nullptr, TRIBOND_AS_STORED, &model);
        code == TRIBOND_OK ? ++loaded : ++refused;
        if ((code == TRIBOND_OK) != (model != nullptr) || code == TRIBOND_FAILED) fail("a spoilt file");
        tribond_free(model);
    }
    std::printf("files: %ld loaded, %ld refused\n", loaded, refused);
}

void spoil_graphs(const tribond_model* model, std::mt19937& random, Clock::time_point end) {
    long done = 0, refused = 0;
    while (Clock::now() < end) {
        const int64_t atoms = int64_t(random() % 9);
        Chain chain(atoms, atoms - int64_t(random() % uint32_t(atoms + 1)), random());
        tribond_graph g = chain.graph();
        Output output(g);
        const int64_t wrong[] = {-1, 0, 1, 5, 9, int64_t(1) << 40, INT64_MIN, INT64_MAX};
        switch (random() % 6) {
        case 0: if (g.num_edges > 0) chain.centre[random() % chain.centre.size()] = wrong[random() % 8]; break;
        case 1: if (g.num_edges > 0) chain.neighbour[random() % chain.centre.size()] = wrong[random() % 8]; break;
        case 2: if (g.num_edges > 0) chain.vectors[random() % chain.vectors.size()] = random() % 2 ? NAN : 1e300; break;
        case 3: if (atoms > 0) chain.numbers[random() % chain.numbers.size()] = int32_t(random()); break;
        case 4: g.num_owned = wrong[random() % 8]; break;
        default: break;
        }
        tribond_evaluate(model, &g, &output.results) == TRIBOND_OK ? ++done : ++refused;
    }
    std::printf("graphs: %ld evaluated, %ld refused\n", done, refused);
}

// Two halves of a chain that mirror each other's atoms: ghosts of one rank are the owned atoms of the other.
struct Ranks {
    static constexpr int64_t OWN = 12;
    std::mutex mutex;
    std::condition_variable changed;
    int waiting = 0;
    long round = 0;
    std::vector<double> table[2];

    void barrier() {
        std::unique_lock<std::mutex> lock(mutex);
        const long now = round;
        if (++waiting == 2) {
            waiting = 0, ++round;
            changed.notify_all();
        } else changed.wait(lock, [&] { return round != now; });
    }
};

struct Rank {
    Ranks* ranks;
    int number;

    static int forward(void* context, void* rows, int64_t width) {
        Rank& self = *static_cast<Rank*>(context);
        double* values = static_cast<double*>(rows);
        self.ranks->table[self.number].assign(values, values + Ranks::OWN * width);
        self.ranks->barrier();
        std::copy_n(self.ranks->table[1 - self.number].begin(), Ranks::OWN * width, values + Ranks::OWN * width);
        self.ranks->barrier();
        return 0;
    }

    static int reverse(void* context, void* rows, int64_t width) {
        Rank& self = *static_cast<Rank*>(context);
        double* values = static_cast<double*>(rows);
        self.ranks->table[self.number].assign(values + Ranks::OWN * width, values + 2 * Ranks::OWN * width);
        self.ranks->barrier();
        for (int64_t i = 0; i < Ranks::OWN * width; ++i) values[i] += self.ranks->table[1 - self.number][size_t(i)];
        self.ranks->barrier();
        return 0;
    }
};

void work_together(const tribond_model* model, Clock::time_point end) {
    const Chain chain(40, 40, 3);
    const tribond_graph g = chain.graph();
    Output expected(g);
    if (tribond_evaluate(model, &g, &expected.results) != TRIBOND_OK) fail("a chain");
    std::atomic<long> rounds{0};
    std::atomic<bool> same{true};
    std::vector<std::thread> threads;
    for (int n = 0; n < 3; ++n)
        threads.emplace_back([&] {
            do {
                Output output(g);
                same = same && tribond_evaluate(model, &g, &output.results) == TRIBOND_OK && output.forces == expected.forces;
                ++rounds;
            } while (Clock::now() < end);
        });
    for (std::thread& thread : threads) thread.join();
    if (!same) fail("threads that evaluate at once");

    Ranks ranks;
    double energies[2] = {0, 0};
    threads.clear();
    for (int number = 0; number < 2; ++number)
        threads.emplace_back([&, number] {
            const Chain half(2 * Ranks::OWN, Ranks::OWN, 5);
            tribond_graph mine = half.graph();
            Rank rank{&ranks, number};
            mine.forward = Rank::forward, mine.reverse = Rank::reverse, mine.exchange_context = &rank;
            for (int n = 0; n < 5; ++n) {
                Output output(mine);
                if (tribond_evaluate(model, &mine, &output.results) != TRIBOND_OK) fail("an exchange");
                energies[number] = output.results.energy;
            }
        });
    for (std::thread& thread : threads) thread.join();
    if (energies[0] != energies[1] || energies[0] == 0) fail("an exchange of equals");
    std::printf("%ld evaluations at once\n", rounds.load());
}

}  // namespace

int main(int, char** arguments) {
    std::mt19937 random(static_cast<unsigned>(std::atoi(arguments[2])));
    const auto third = std::chrono::milliseconds(std::atoi(arguments[3]) / 3);
    std::ifstream file(arguments[1], std::ios::binary);
    const std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    tribond_model* model = nullptr;
    if (tribond_load(arguments[1], TRIBOND_FLOAT64, &model) != TRIBOND_OK) fail("the model");
    tribond_set_threads(model, 3);
    spoil_files(content, random, Clock::now() + third);
    spoil_graphs(model, random, Clock::now() + third);
    work_together(model, Clock::now() + third);
    tribond_free(model);
    return 0;
}
