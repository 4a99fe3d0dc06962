// Thousands of rounds of `share_out` with few and many pieces and threads, exceptions, and pauses in which helpers fall
// asleep. Every piece must be done once, by one worker at a time; what a round wrote must be there when it is over.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "common/threads.hpp"

int main(int, char** arguments) {
    std::mt19937 random(std::atoi(arguments[1]));
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(std::atoi(arguments[2]));
    long rounds = 0, thrown = 0;
    while (std::chrono::steady_clock::now() < end) {
        const int pieces = 1 + int(random() % 40), threads = 1 + int(random() % 9);
        const int failing = random() % 10 == 0 ? int(random() % pieces) : -1;
        std::vector<int> done(pieces, 0), of_worker(threads, 0);  // plain numbers: two at a time would be a race
        bool failed = false;
        try {
            tribond::share_out(pieces, threads, [&](int piece, int worker) {
                if (worker < 0 || worker >= threads) std::abort();
                ++of_worker[worker];
                ++done[piece];
                if (piece == failing) throw std::runtime_error("a piece");
                volatile int busy = 0;
                for (int i = 0; i < piece % 5 * 200; ++i) busy = busy + i;
            });
        } catch (const std::runtime_error&) {
            failed = true;
            ++thrown;
        }
        int total = 0;
        for (int count : of_worker) total += count;
        for (int count : done) {
            total -= count;
            if (count > 1 || (count == 0 && failing < 0)) return std::printf("a piece was done %d times\n", count), 1;
        }
        if (failed != (failing >= 0) || total != 0) return std::printf("an exception or a piece was lost\n"), 1;
        if (random() % 20 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 400));
        ++rounds;
    }
    std::printf("%ld rounds, %ld exceptions\n", rounds, thrown);
    return 0;
}
