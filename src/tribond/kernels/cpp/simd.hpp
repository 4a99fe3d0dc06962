// Vectors of floats and doubles, as wide as the instruction set that this file is compiled for.
//
// Written with the vector extensions that GCC and Clang share, so that one source serves AVX-512, AVX2, NEON and the
// rest; a few intrinsics stand where the extensions have no word for it.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace tribond {

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

// σ(x) = 1 / (1 + exp(-x)). Below the bound, where exp(-x) would overflow, σ is zero to all digits that count.
#if defined(__AVX512F__)
inline Vec<float> sigmoid(Vec<float> x) {
    Vec<float> y = _mm512_min_ps(all<float>(115.0f), x * -1.44269504088896341f);  // NaN passes
    const Vec<float> rest = _mm512_reduce_ps(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    Vec<float> p = rest * 1.5345811600727278e-4f + 1.3399931216264214e-3f;  // 2^rest to 2e-9
    p = p * rest + 9.618488958617317e-3f;
    p = p * rest + 5.550328776974468e-2f;
    p = p * rest + 2.402264689062013e-1f;
    p = p * rest + 6.931472057372626e-1f;
    p = p * rest + 1.0f;
    const Vec<float> sum = Vec<float>(_mm512_scalef_ps(p, y - rest)) + 1.0f;
    const Vec<float> guess = _mm512_rcp14_ps(sum);  // 14 bits; Newton's step doubles them
    return guess + guess * (1.0f - sum * guess);
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

}  // namespace tribond
