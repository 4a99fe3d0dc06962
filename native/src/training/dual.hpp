// Numbers a + ε b with ε² = 0: b is how a changes as all bond vectors change along one direction.
//
// In an array of them every row is followed by the row of its changes, so that a linear layer is `multiply` with twice
// the rows.
#pragma once

#include "common/gemm.hpp"

namespace tribond::INSTRUCTION_SET {

template <class T> struct Dual {
    Vec<T> a, b;
};

template <class T> inline Dual<T> operator+(Dual<T> x, Dual<T> y) { return {x.a + y.a, x.b + y.b}; }
template <class T> inline Dual<T> operator-(Dual<T> x, Dual<T> y) { return {x.a - y.a, x.b - y.b}; }
template <class T> inline Dual<T> operator*(Dual<T> x, Dual<T> y) { return {x.a * y.a, x.a * y.b + x.b * y.a}; }
template <class T> inline Dual<T> operator*(Vec<T> x, Dual<T> y) { return {x * y.a, x * y.b}; }
template <class T> inline Dual<T> one_minus(Dual<T> x) { return {T(1) - x.a, -x.b}; }

template <class T> inline Dual<T> sigmoid(Dual<T> x) {
    const Vec<T> s = sigmoid(x.a);
    return {s, x.b * s * (T(1) - s)};
}

// g'(x) = s + x s (1 - s) for s = σ(x) and g(x) = x s.
template <class T> inline Dual<T> silu_slope(Dual<T> s, Dual<T> silu) { return s + silu * one_minus(s); }

// One vector of columns of a row, and of the row `width` further on.
template <class T> inline Dual<T> load_dual(const T* from, int width) { return {load(from), load(from + width)}; }

template <class T> inline void store_dual(T* to, int width, Dual<T> x) {
    store(to, x.a);
    store(to + width, x.b);
}

template <class T> inline void add_dual(T* to, int width, Dual<T> x) { store_dual(to, width, load_dual(to, width) + x); }

// A number of a bond, and how it changes, as vectors.
template <class T> inline Dual<T> all_dual(T a, T b) { return {all(a), all(b)}; }

// x (count, 2, width) ← x ⊙ y.
template <class T> inline void multiply_dual(int count, int width, T* x, const T* y) {
    for (int r = 0; r < count; ++r, x += 2 * width, y += 2 * width)
        for (int f = 0; f < width; f += LANES<T>) store_dual(x + f, width, load_dual(x + f, width) * load_dual(y + f, width));
}

// Row for row x₀ᵀ y₁ + x₁ᵀ y₀, added to c: what is wanted of the gradient of y = x W by W when y stands for ∂y.
template <class T, int ROWS, int VECTORS>
inline void outer_block(int count, const T* x, int x_width, const T* y, int y_width, T* c, int c_width) {
    constexpr int W = LANES<T>;
    Vec<T> sums[ROWS][VECTORS];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v) sums[r][v] = load(c + r * c_width + v * W);
    for (int k = 0; k < 2 * count; ++k) {
        const T *left = x + k * x_width, *right = y + (k ^ 1) * y_width;
        Vec<T> row[VECTORS];
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v) row[v] = load(right + v * W);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r) {
            const Vec<T> factor = all<T>(left[r]);
#pragma GCC unroll 8
            for (int v = 0; v < VECTORS; ++v) sums[r][v] += factor * row[v];
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; ++v) store(c + r * c_width + v * W, sums[r][v]);
}

template <class T, int VECTORS, int ROWS = GEMM_ROWS>
void outer_rows(int rows, int count, const T* x, int x_width, const T* y, int y_width, T* c, int c_width) {
    if constexpr (ROWS > 0) {
        for (; rows >= ROWS; rows -= ROWS, x += ROWS, c += ROWS * c_width)
            outer_block<T, ROWS, VECTORS>(count, x, x_width, y, y_width, c, c_width);
        if (rows > 0) outer_rows<T, VECTORS, ROWS - 1>(rows, count, x, x_width, y, y_width, c, c_width);
    }
}

// c (rows, columns) += as above, for x (count, 2, x_width), of which `rows` columns count, and y (count, 2, y_width).
template <class T>
void outer(int count, const T* x, int x_width, int rows, const T* y, int y_width, int columns, T* c, int c_width) {
    constexpr int W = LANES<T>;
    for (int column = 0; column < columns; column += GEMM_VECTORS * W, y += GEMM_VECTORS * W, c += GEMM_VECTORS * W) {
        switch (std::min(GEMM_VECTORS, (columns - column) / W)) {
        case 1: outer_rows<T, 1>(rows, count, x, x_width, y, y_width, c, c_width); break;
        case 2: outer_rows<T, 2>(rows, count, x, x_width, y, y_width, c, c_width); break;
#if !defined(__AVX2__) || defined(__AVX512F__)
        case 3: outer_rows<T, 3>(rows, count, x, x_width, y, y_width, c, c_width); break;
        case 4: outer_rows<T, 4>(rows, count, x, x_width, y, y_width, c, c_width); break;
#endif
        }
    }
}

// c (columns,) += Σ y₁: the same of the bias.
template <class T> void add_changes(int count, const T* y, int y_width, int columns, T* c) {
    for (int r = 0; r < count; ++r)
        for (int f = 0; f < columns; f += LANES<T>) store(c + f, load(c + f) + load(y + (2 * r + 1) * y_width + f));
}

}  // namespace tribond::INSTRUCTION_SET
