// Memory aligned to cache lines; large pieces ask for large pages, which cost fewer page faults.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "common/instruction_set.hpp"

namespace tribond::INSTRUCTION_SET {

constexpr size_t CACHE_LINE = 64;
constexpr size_t LARGE_PAGE = size_t(1) << 21;
constexpr size_t LARGE = size_t(64) << 20;

// Room for numbers, not set to anything. It grows as it must, and shrinks if it is much and a quarter would do: to ask the
// system for memory at every step of a large system takes longer than a tenth of the step. It forgets its content then.
template <class T> class Buffer {
public:
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Buffer() { std::free(data_); }

    void resize(size_t count) {
        if (count <= room_ && (room_ * sizeof(T) <= LARGE || count >= room_ / 4)) {
            count_ = count;
            return;
        }
        std::free(data_);
        data_ = nullptr;
        count_ = room_ = 0;
        if (count == 0) return;
        const size_t bytes = count * sizeof(T);
        const size_t unit = bytes >= LARGE_PAGE ? LARGE_PAGE : CACHE_LINE;
        const size_t rounded = (bytes + unit - 1) / unit * unit;
        void* room = nullptr;
        if (posix_memalign(&room, unit, rounded) != 0) throw std::bad_alloc();
#if defined(__linux__)
        if (unit == LARGE_PAGE) madvise(room, rounded, MADV_HUGEPAGE);
#endif
        data_ = static_cast<T*>(room);
        count_ = room_ = count;
    }

    T* begin() { return data_; }
    const T* begin() const { return data_; }
    T* end() { return data_ + count_; }
    T& operator[](size_t index) { return data_[index]; }
    const T& operator[](size_t index) const { return data_[index]; }
    size_t size() const { return count_; }

private:
    void swap(Buffer& other) {
        std::swap(data_, other.data_);
        std::swap(count_, other.count_);
        std::swap(room_, other.room_);
    }

    T* data_ = nullptr;
    size_t count_ = 0, room_ = 0;
};

}  // namespace tribond::INSTRUCTION_SET
