// C = start + A B for a tall A that lies in the cache and a small B: the linear layers of a tile of bonds.
#pragma once

#include <vector>

#include "common/memory.hpp"
#include "common/simd.hpp"

namespace tribond::INSTRUCTION_SET {

// A matrix cut into panels of a few vectors' width, each stored row after row, as the inner loop reads it.
template <class T> struct Packed {
    int rows = 0, columns = 0;  // columns padded with zeros to whole vectors
    Buffer<T> data;

    Packed() = default;

    // `entry` (k, n) gives the numbers.
    template <class Entry> Packed(int rows_, int given, Entry entry) : rows(rows_), columns(padded<T>(given)) {
        data.resize(size_t(rows) * columns);
        T* to = data.begin();
        for (int first = 0; first < columns; first += GEMM_VECTORS * LANES<T>) {
            const int last = std::min(first + GEMM_VECTORS * LANES<T>, columns);
            for (int k = 0; k < rows; ++k)
                for (int n = first; n < last; ++n) *to++ = n < given ? entry(k, n) : T(0);
        }
    }
};

enum class Start { zero, bias, bias_of_even, output, two_rows };

// What C starts from: zero; the same row for all rows of C, or for every second one (the number of rows is even); C
// itself; or the sum of two rows of its own for each.
template <class T> struct From {
    const T* bias = nullptr;
    const T* const* first = nullptr;
    const T* const* second = nullptr;
};

template <class T, int ROWS, int VECTORS, Start START>
inline void multiply_block(const T* a, int a_stride, const T* b, int depth, T* c, int c_stride, From<T> from, int column,
                           Ahead& ahead) {
    constexpr int W = LANES<T>;
    Vec<T> sums[ROWS][VECTORS];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v) {
            if constexpr (START == Start::zero) sums[r][v] = Vec<T>{};
            if constexpr (START == Start::bias) sums[r][v] = load(from.bias + column + v * W);
            if constexpr (START == Start::bias_of_even)
                sums[r][v] = r % 2 == 0 ? load(from.bias + column + v * W) : Vec<T>{};
            if constexpr (START == Start::output) sums[r][v] = load(c + r * c_stride + column + v * W);
            if constexpr (START == Start::two_rows)
                sums[r][v] = load(from.first[r] + column + v * W) + load(from.second[r] + column + v * W);
        }
    Ahead here = ahead;  // in registers
    for (int k = 0; k < depth; ++k) {
        here.fetch();
        Vec<T> row[VECTORS];
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v) row[v] = load(b + v * W);
        b += VECTORS * W;
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r) {
            const Vec<T> factor = all<T>(a[r * a_stride + k]);
#pragma GCC unroll 8
            for (int v = 0; v < VECTORS; ++v) sums[r][v] += factor * row[v];
        }
    }
    ahead = here;
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v) store(c + r * c_stride + column + v * W, sums[r][v]);
}

template <class T, int VECTORS, Start START, int ROWS = GEMM_ROWS>  // GEMM_ROWS is even
void multiply_rows(int rows, const T* a, int a_stride, const T* b, int depth, T* c, int c_stride, From<T> from, int column,
                   Ahead& ahead) {
    if constexpr (ROWS > 0) {
        while (rows >= ROWS) {
            multiply_block<T, ROWS, VECTORS, START>(a, a_stride, b, depth, c, c_stride, from, column, ahead);
            rows -= ROWS;
            a += ROWS * a_stride;
            c += ROWS * c_stride;
            if (START == Start::two_rows) from.first += ROWS, from.second += ROWS;
        }
        if (rows > 0)
            multiply_rows<T, VECTORS, START, ROWS - 1>(rows, a, a_stride, b, depth, c, c_stride, from, column, ahead);
    }
}

// c (rows, b.columns) = start + a (rows, b.rows) b, panel by panel: a panel stays in the first-level cache.
template <class T, Start START>
void multiply(int rows, const T* a, int a_stride, const Packed<T>& b, T* c, int c_stride, From<T> from, Ahead& ahead) {
    constexpr int W = LANES<T>;
    const T* panel = b.data.begin();
    for (int column = 0; column < b.columns; column += GEMM_VECTORS * W) {
        const int vectors = std::min(GEMM_VECTORS, (b.columns - column) / W);
        switch (vectors) {
        case 1: multiply_rows<T, 1, START>(rows, a, a_stride, panel, b.rows, c, c_stride, from, column, ahead); break;
        case 2: multiply_rows<T, 2, START>(rows, a, a_stride, panel, b.rows, c, c_stride, from, column, ahead); break;
#if !defined(__AVX2__) || defined(__AVX512F__)
        case 3: multiply_rows<T, 3, START>(rows, a, a_stride, panel, b.rows, c, c_stride, from, column, ahead); break;
        case 4: multiply_rows<T, 4, START>(rows, a, a_stride, panel, b.rows, c, c_stride, from, column, ahead); break;
#endif
        }
        panel += size_t(b.rows) * vectors * W;
    }
}

template <class T, Start START>
void multiply(int rows, const T* a, int a_stride, const Packed<T>& b, T* c, int c_stride, From<T> from = {}) {
    Ahead nothing;
    multiply<T, START>(rows, a, a_stride, b, c, c_stride, from, nothing);
}

}  // namespace tribond::INSTRUCTION_SET
