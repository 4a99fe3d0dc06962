#include "common/threads.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace tribond {
namespace {

constexpr int SPINS = 4000;  // some 100 µs of waiting awake: the next piece of an evaluation comes sooner

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

class Helpers {
public:
    // The processes that fork() makes have none of its threads; they start anew.
    Helpers() : process_(getpid()) {}

    bool usable() const { return process_ == getpid(); }

    void run(int pieces, int threads, const std::function<void(int, int)>& work) {
        try {
            while (int(threads_.size()) < threads - 1) {
                const int worker = int(threads_.size()) + 1;
                threads_.emplace_back([this, worker] { serve(worker, 0); });
            }
        } catch (const std::system_error&) {
            // The system allows no more threads: those that there are will do.
        }
        work_ = &work;
        pieces_ = pieces;
        wanted_ = threads - 1;
        next_.store(0, std::memory_order_relaxed);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            round_.fetch_add(NEXT_ROUND, std::memory_order_release);
        }
        wake_.notify_all();
        do_pieces(0);
        // Who comes now, late from sleep, finds the door shut; only those inside must have finished, also after an exception:
        // they work on what belongs to the caller.
        round_.fetch_sub(OPEN, std::memory_order_acq_rel);
        for (int spin = 0; (round_.load(std::memory_order_acquire) & INSIDE) > 0; ++spin) {
            if (spin < SPINS) relax();
            else std::this_thread::yield();
        }
        if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    }

private:
    // The number of the round, whether it may be joined, and how many helpers are inside, in one number.
    static constexpr uint64_t INSIDE = (uint64_t(1) << 20) - 1, OPEN = uint64_t(1) << 20, NUMBER = ~(OPEN | INSIDE);
    static constexpr uint64_t NEXT_ROUND = (OPEN << 1) + OPEN;  // added to a round that is shut

    void do_pieces(int worker) {
        try {
            for (int piece; (piece = next_.fetch_add(1, std::memory_order_relaxed)) < pieces_;) (*work_)(piece, worker);
        } catch (...) {
            std::lock_guard<std::mutex> lock(mutex_);
            failure_ = std::current_exception();
            next_.store(pieces_, std::memory_order_relaxed);  // nobody need begin another piece
        }
    }

    // Joins an open round other than the one `seen` last; `seen` is then this one.
    bool join(uint64_t& seen) {
        uint64_t now = round_.load(std::memory_order_acquire);
        while ((now & OPEN) != 0 && (now & NUMBER) != seen)
            if (round_.compare_exchange_weak(now, now + 1, std::memory_order_acq_rel)) {
                seen = now & NUMBER;
                return true;
            }
        return false;
    }

    bool may_join(uint64_t seen) const {
        const uint64_t now = round_.load(std::memory_order_acquire);
        return (now & OPEN) != 0 && (now & NUMBER) != seen;
    }

    void serve(int worker, uint64_t seen) {
        for (;;) {
            for (int spin = 0; spin < SPINS && !may_join(seen); ++spin) relax();
            if (!may_join(seen)) {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [&] { return may_join(seen); });
            }
            if (!join(seen)) continue;
            if (worker <= wanted_) do_pieces(worker);
            round_.fetch_sub(1, std::memory_order_release);
        }
    }

    const pid_t process_;
    std::vector<std::thread> threads_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::atomic<uint64_t> round_{0};
    std::atomic<int> next_{0};
    const std::function<void(int, int)>* work_ = nullptr;
    std::exception_ptr failure_;
    int pieces_ = 0, wanted_ = 0;
};

std::mutex one_caller;
Helpers* helpers = nullptr;  // never deleted: their threads wait until the process ends

}  // namespace

void share_out(int pieces, int threads, const std::function<void(int, int)>& work) {
    threads = std::min(threads, pieces);
    if (threads > 1) {
        std::unique_lock<std::mutex> lock(one_caller, std::try_to_lock);
        if (lock.owns_lock()) {
            if (helpers == nullptr || !helpers->usable()) helpers = new Helpers;
            helpers->run(pieces, threads, work);
            return;
        }
    }
    for (int piece = 0; piece < pieces; ++piece) work(piece, 0);
}

}  // namespace tribond
