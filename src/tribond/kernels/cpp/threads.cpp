#include "threads.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
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
                threads_.emplace_back([this, worker, seen = round_.load()] { serve(worker, seen); });
            }
        } catch (const std::system_error&) {
            // The system allows no more threads: those that there are will do.
        }
        work_ = &work;
        pieces_ = pieces;
        wanted_ = threads - 1;
        next_.store(0, std::memory_order_relaxed);
        busy_.store(int(threads_.size()), std::memory_order_relaxed);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            round_.fetch_add(1, std::memory_order_release);
        }
        wake_.notify_all();
        do_pieces(0);
        // All must have finished, also after an exception: they work on what belongs to the caller.
        for (int spin = 0; busy_.load(std::memory_order_acquire) > 0; ++spin) {
            if (spin < SPINS) relax();
            else std::this_thread::yield();
        }
        if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    }

private:
    void do_pieces(int worker) {
        try {
            for (int piece; (piece = next_.fetch_add(1, std::memory_order_relaxed)) < pieces_;) (*work_)(piece, worker);
        } catch (...) {
            std::lock_guard<std::mutex> lock(mutex_);
            failure_ = std::current_exception();
            next_.store(pieces_, std::memory_order_relaxed);  // nobody need begin another piece
        }
    }

    void serve(int worker, unsigned seen) {
        for (;;) {
            for (int spin = 0; spin < SPINS && round_.load(std::memory_order_acquire) == seen; ++spin) relax();
            if (round_.load(std::memory_order_acquire) == seen) {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [&] { return round_.load(std::memory_order_acquire) != seen; });
            }
            seen = round_.load(std::memory_order_acquire);
            if (worker <= wanted_) do_pieces(worker);
            busy_.fetch_sub(1, std::memory_order_release);
        }
    }

    const pid_t process_;
    std::vector<std::thread> threads_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::atomic<unsigned> round_{0};
    std::atomic<int> next_{0}, busy_{0};
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
