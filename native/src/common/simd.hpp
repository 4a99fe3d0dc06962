// Vectors of floats and doubles, as wide as the instruction set that this file is compiled for.
//
// Written with the vector extensions that GCC and Clang share, so that one source serves AVX-512, AVX2, NEON and the
// rest; a few intrinsics stand where the extensions have no word for it.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#include "common/instruction_set.hpp"

namespace tribond::INSTRUCTION_SET {

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
constexpr int GEMM_ROWS = 6, GEMM_VECTORS = 4;  // 24 of 32 registers hold sums
#elif defined(__AVX2__)
constexpr int VECTOR_BYTES = 32;
constexpr int GEMM_ROWS = 6, GEMM_VECTORS = 2;  // 12 of 16
#elif defined(__aarch64__)
constexpr int VECTOR_BYTES = 16;
constexpr int GEMM_ROWS = 6, GEMM_VECTORS = 4;  // 24 of 32
#else
constexpr int VECTOR_BYTES = 16;
constexpr int GEMM_ROWS = 4, GEMM_VECTORS = 2;  // 8 of 16, without multiply-add
#endif

template <class T> struct Simd;

template <> struct Simd<float> {
    typedef float V __attribute__((vector_size(VECTOR_BYTES)));
    typedef int32_t I __attribute__((vector_size(VECTOR_BYTES)));
};

template <> struct Simd<double> {
    typedef double V __attribute__((vector_size(VECTOR_BYTES)));
    typedef int64_t I __attribute__((vector_size(VECTOR_BYTES)));
};

template <class T> using Vec = typename Simd<T>::V;
template <class T> constexpr int LANES = VECTOR_BYTES / int(sizeof(T));

template <class T> constexpr int padded(int width) { return (width + LANES<T> - 1) / LANES<T> * LANES<T>; }

template <class T> inline Vec<T> load(const T* from) {
    Vec<T> value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

template <class T> inline void store(T* to, Vec<T> value) { std::memcpy(to, &value, sizeof value); }

// Past the caches, to memory that nothing reads soon: `to` is aligned to a vector. `streamed` before another thread reads it.
#if defined(__AVX512F__)
inline void stream(float* to, Vec<float> value) { _mm512_stream_ps(to, value); }
inline void stream(double* to, Vec<double> value) { _mm512_stream_pd(to, value); }
inline void streamed() { _mm_sfence(); }
#elif defined(__AVX2__)
inline void stream(float* to, Vec<float> value) { _mm256_stream_ps(to, value); }
inline void stream(double* to, Vec<double> value) { _mm256_stream_pd(to, value); }
inline void streamed() { _mm_sfence(); }
#else
template <class T> inline void stream(T* to, Vec<T> value) { store(to, value); }
inline void streamed() {}
#endif

// Memory that is read soon, brought into the second-level cache a line at a time while something else is computed.
class Ahead {
public:
    Ahead() = default;
    template <class T> Ahead(const T* first, size_t count)
        : next_(reinterpret_cast<const char*>(first)), end_(reinterpret_cast<const char*>(first + count)) {}

    void fetch() {
        if (next_ >= end_) return;
        __builtin_prefetch(next_, 0, 2);
        next_ += LINE;
    }

private:
    static constexpr ptrdiff_t LINE = 64;
    const char *next_ = nullptr, *end_ = nullptr;
};

template <class T> inline Vec<T> all(T value) { return value - Vec<T>{}; }  // -0.0 stays -0.0

inline float sum(Vec<float> v) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps(v);
#else
    float total = 0;
    for (int i = 0; i < LANES<float>; ++i) total += v[i];
    return total;
#endif
}

inline double sum(Vec<double> v) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_pd(v);
#else
    double total = 0;
    for (int i = 0; i < LANES<double>; ++i) total += v[i];
    return total;
#endif
}

// exp(x) for |x| < 87, to an ulp: 2^n times a polynomial of the rest (coefficients of S. Moshier's Cephes).
inline Vec<float> exponential(Vec<float> x) {
    const Vec<float> shift = all<float>(12582912.0f);  // 1.5 · 2^23: adding it leaves the integer in the lowest bits
    const Vec<float> shifted = x * 1.44269504088896341f + shift;
    const Vec<float> n = shifted - shift;
    Vec<float> r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    Vec<float> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + (r + 1.0f);
    typename Simd<float>::I bits, power;
    std::memcpy(&bits, &p, sizeof p);
    std::memcpy(&power, &shifted, sizeof shifted);
    bits += power << 23;
    std::memcpy(&p, &bits, sizeof p);
    return p;
}

// exp(x) for |x| < 700: 2^n times Taylor's polynomial of the rest, |r| < 0.35.
inline Vec<double> exponential(Vec<double> x) {
    const Vec<double> shift = all<double>(6755399441055744.0);  // 1.5 · 2^52
    const Vec<double> shifted = x * 1.4426950408889634074 + shift;
    const Vec<double> n = shifted - shift;
    Vec<double> r = x - n * 6.93145751953125e-1;
    r = r - n * 1.42860682030941723212e-6;
    Vec<double> p = all<double>(1.0 / 6227020800.0);
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * (r * r) + (r + 1.0);
    typename Simd<double>::I bits, power;
    std::memcpy(&bits, &p, sizeof p);
    std::memcpy(&power, &shifted, sizeof shifted);
    bits += power << 52;
    std::memcpy(&p, &bits, sizeof p);
    return p;
}

#if defined(__AVX512F__)
// σ(x) of N vectors, step by step together: while one waits for a result, another is computed. Right to 1e-7, and for
// x > -20 to 1e-6 of σ.
template <int N> inline void sigmoids(const Vec<float>* x, Vec<float>* s) {
    Vec<float> y[N], rest[N], p[N], sum[N], guess[N];
#define EACH _Pragma("GCC unroll 4") for (int i = 0; i < N; ++i)
    EACH y[i] = _mm512_min_ps(all<float>(115.0f), x[i] * -1.44269504088896341f);  // NaN passes
    EACH rest[i] = _mm512_reduce_ps(y[i], _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    EACH p[i] = rest[i] * 1.877576658450054e-3f + 8.989340131015584e-3f;  // 2^rest for 0 <= rest < 1 to 7e-8 of it
    EACH p[i] = p[i] * rest[i] + 5.582631801928724e-2f;
    EACH p[i] = p[i] * rest[i] + 2.401536170558653e-1f;
    EACH p[i] = p[i] * rest[i] + 6.931530731988387e-1f;
    EACH p[i] = p[i] * rest[i] + 9.999999250635503e-1f;
    EACH sum[i] = Vec<float>(_mm512_scalef_ps(p[i], y[i])) + 1.0f;  // p · 2^⌊y⌋ + 1
    EACH guess[i] = _mm512_rcp14_ps(sum[i]);  // 14 bits; Newton's step doubles them
    EACH s[i] = guess[i] + guess[i] * (1.0f - sum[i] * guess[i]);
#undef EACH
}
#endif

// σ(x) = 1 / (1 + exp(-x)). Below the bound, where exp(-x) would overflow, σ is zero to all digits that count.
#if defined(__AVX512F__)
inline Vec<float> sigmoid(Vec<float> x) {
    Vec<float> s;
    sigmoids<1>(&x, &s);
    return s;
}
#else
inline Vec<float> sigmoid(Vec<float> x) {
    const Vec<float> low = all<float>(-80.0f), high = all<float>(80.0f);
    x = x < low ? low : x;  // NaN passes
    x = x > high ? high : x;
    return 1.0f / (exponential(-x) + 1.0f);
}
#endif

inline Vec<double> sigmoid(Vec<double> x) {
    const Vec<double> low = all<double>(-600.0), high = all<double>(600.0);
    x = x < low ? low : x;
    x = x > high ? high : x;
    return 1.0 / (exponential(-x) + 1.0);
}

#if defined(__AVX512F__)
template <int N> inline void sigmoids(const Vec<double>* x, Vec<double>* s) {
    for (int i = 0; i < N; ++i) s[i] = sigmoid(x[i]);
}
#else
template <int N, class V> inline void sigmoids(const V* x, V* s) {
    for (int i = 0; i < N; ++i) s[i] = sigmoid(x[i]);
}
#endif

// sin(x) and cos(x) for |x| < 10^5, right to an ulp of 1: Taylor's polynomials of the rest after quarter turns, |r| < π/4.
inline void sine_cosine(Vec<double> x, Vec<double>& sine, Vec<double>& cosine) {
    const Vec<double> shift = all<double>(6755399441055744.0);  // 1.5 · 2^52: adding it leaves the integer in the lowest bits
    const Vec<double> shifted = x * (2 / M_PI) + shift;
    const Vec<double> n = shifted - shift;
    Vec<double> r = x - n * 1.57079632673412561417;  // π/2 in two parts; n times the first, of 33 bits, is exact
    r = r - n * 6.07710050650619224932e-11;
    const Vec<double> rr = r * r;
    Vec<double> s = rr * (-1.0 / 1307674368000.0) + 1.0 / 6227020800.0;
    s = s * rr - 1.0 / 39916800.0;
    s = s * rr + 1.0 / 362880.0;
    s = s * rr - 1.0 / 5040.0;
    s = s * rr + 1.0 / 120.0;
    s = s * rr - 1.0 / 6.0;
    s = r + s * rr * r;
    Vec<double> c = rr * (1.0 / 20922789888000.0) - 1.0 / 87178291200.0;
    c = c * rr + 1.0 / 479001600.0;
    c = c * rr - 1.0 / 3628800.0;
    c = c * rr + 1.0 / 40320.0;
    c = c * rr - 1.0 / 720.0;
    c = c * rr + 1.0 / 24.0;
    c = c * rr - 0.5;
    c = c * rr + 1.0;
    typename Simd<double>::I quarter;
    std::memcpy(&quarter, &shifted, sizeof shifted);
    const auto odd = (quarter & 1) != 0;
    const Vec<double> first = odd ? c : s, second = odd ? s : c;
    sine = (quarter & 2) != 0 ? -first : first;
    cosine = ((quarter + 1) & 2) != 0 ? -second : second;
}

inline Vec<double> square_root(Vec<double> x) {
#if defined(__AVX512F__)
    return _mm512_sqrt_pd(x);
#else
    for (int i = 0; i < LANES<double>; ++i) x[i] = std::sqrt(x[i]);
    return x;
#endif
}

}  // namespace tribond::INSTRUCTION_SET
