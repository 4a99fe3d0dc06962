// Radial functions, envelope and harmonics with their derivatives, of a few bonds side by side, in double precision
// whatever the network's: the twins of nn/basis.py and nn/cutoff.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/simd.hpp"

namespace tribond::INSTRUCTION_SET {

constexpr int MOST_FUNCTIONS = 512;  // radial functions of one kind; backends/native.py knows it, too

// Bonds side by side, one to a lane; what is left of the lanes holds the last of them once more.
struct Beside {
    Vec<double> length, unit[3];  // Å

    // `bond` (lane) says which bond.
    template <class Bond> Beside(const double* vectors, int count, Bond bond) {
        for (int lane = 0; lane < LANES<double>; ++lane) {
            const double* v = vectors + 3 * bond(std::min(lane, count - 1));
            for (int x = 0; x < 3; ++x) unit[x][lane] = v[x];
        }
        length = square_root(unit[0] * unit[0] + unit[1] * unit[1] + unit[2] * unit[2]);
        for (int x = 0; x < 3; ++x) unit[x] /= length;
    }
};

// Radial functions of one kind: h_m(r) of (10)-(15), or all j_l(z_ln r / r_c).
struct Radial {
    bool smooth = true;
    int max_l = 1, max_n = 0;           // smooth: max_n functions; otherwise max_l · max_n, l by l
    double cutoff = 0;                  // Å
    std::vector<double> wave_numbers;   // 1/Å; smooth: max_n + 1 of them, multiples of the first
    std::vector<double> factors;        // smooth: (max_n, max_n + 1) coefficients of the sincs; otherwise norms

    int count() const { return smooth ? max_n : max_l * max_n; }

    // Values and derivatives by r; zero at and beyond the cutoff.
    void evaluate(Vec<double> r, Vec<double>* values, Vec<double>* slopes) const {
        if (smooth) sum_of_sincs(r, values, slopes);
        else {
            for (int l = 0; l < max_l; ++l)
                for (int n = 0; n < max_n; ++n) {
                    const int i = l * max_n + n;
                    Vec<double> slope;
                    values[i] = factors[i] * spherical_bessel(l, wave_numbers[i] * r, slope);
                    slopes[i] = factors[i] * wave_numbers[i] * slope;
                }
        }
        const auto beyond = r >= cutoff;  // not NaN
        for (int i = 0; i < count(); ++i) {
            values[i] = beyond ? Vec<double>{} : values[i];
            slopes[i] = beyond ? Vec<double>{} : slopes[i];
        }
    }

private:
    void sum_of_sincs(Vec<double> r, Vec<double>* values, Vec<double>* slopes) const {
        for (int m = 0; m < max_n; ++m) values[m] = slopes[m] = Vec<double>{};
        Vec<double> sine, cosine;
        sine_cosine(wave_numbers[0] * r, sine, cosine);
        const Vec<double> over_r = 1.0 / r;
        Vec<double> s = sine, c = cosine;  // of k times the first argument, by the addition theorems
        for (int k = 0; k <= max_n; ++k) {
            const Vec<double> value = s * over_r * (1 / wave_numbers[k]), slope = (c - value) * over_r;
            for (int m = std::max(k - 1, 0); m < max_n; ++m) {
                values[m] += factors[m * (max_n + 1) + k] * value;
                slopes[m] += factors[m * (max_n + 1) + k] * slope;
            }
            const Vec<double> next = s * cosine + c * sine;
            c = c * cosine - s * sine;
            s = next;
        }
    }

    // j_l(x) and its derivative: recurrence, and a series where that would cancel all digits.
    static Vec<double> spherical_bessel(int l, Vec<double> x, Vec<double>& slope) {
        Vec<double> sine, cosine;
        sine_cosine(x, sine, cosine);
        const Vec<double> over_x = 1.0 / x;
        Vec<double> previous = cosine * over_x, current = sine * over_x;  // j_{-1}, j_0
        for (int order = 0; order < l; ++order) {
            const Vec<double> next = double(2 * order + 1) * over_x * current - previous;
            previous = current;
            current = next;
        }
        slope = previous - double(l + 1) * over_x * current;
        const auto small = x < 1.0;
        bool any = false;
        for (int i = 0; i < LANES<double>; ++i) any = any || small[i] != 0;
        if (!any) return current;
        const Vec<double> value = series(l, x), next = series(l + 1, x);
        slope = small ? (l == 0 ? -next : double(l) * over_x * value - next) : slope;
        return small ? value : current;
    }

    static Vec<double> series(int l, Vec<double> x) {
        const Vec<double> half = x * x * 0.5;
        Vec<double> total = all<double>(1.0), power = all<double>(1.0);
        for (int k = 8; k > 0; --k) total = 1.0 - half * (1.0 / (k * (2 * (l + k) + 1))) * total;
        for (int k = 1; k <= l; ++k) power *= x * (1.0 / (2 * k + 1));
        return power * total;
    }
};

// f_c(r) = 1 - 6 (r/r_3)^5 + 15 (r/r_3)^4 - 10 (r/r_3)^3 and its derivative.
inline Vec<double> envelope(Vec<double> r, double cutoff, Vec<double>& slope) {
    const Vec<double> inside = r > cutoff ? all<double>(cutoff) : r, x = inside * (1 / cutoff);
    slope = x * x * (1.0 - x) * (1.0 - x) * (-30 / cutoff);
    return 1.0 - x * x * x * (10.0 - 15.0 * x + 6.0 * x * x);
}

// What (2) needs of the lengths: f_c and its derivative, f_c R_ln and their derivatives in `values` and `slopes`.
struct Envelope {
    Vec<double> value, slope;
};
inline Envelope enveloped(const Radial& basis, double cutoff, Vec<double> r, Vec<double>* values, Vec<double>* slopes) {
    Envelope fc;
    fc.value = envelope(r, cutoff, fc.slope);
    basis.evaluate(r, values, slopes);
    for (int i = 0; i < basis.count(); ++i) {
        slopes[i] = fc.value * slopes[i] + fc.slope * values[i];
        values[i] *= fc.value;
    }
    return fc;
}

// a + ε b with ε² = 0: b is how a changes along a direction.
struct Changing {
    double a, b;
    Changing(double a_ = 0, double b_ = 0) : a(a_), b(b_) {}
};
inline Changing operator+(Changing x, Changing y) { return {x.a + y.a, x.b + y.b}; }
inline Changing operator-(Changing x, Changing y) { return {x.a - y.a, x.b - y.b}; }
inline Changing operator*(Changing x, Changing y) { return {x.a * y.a, x.a * y.b + x.b * y.a}; }

// Y_lm(u) for l < max_l <= 4 of a unit vector, in the order (0,0) (1,-1) (1,0) (1,1) (2,-2) ...
template <class Number> void harmonics(const Number u[3], int max_l, Number* y) {
    const Number x = u[0], yy = u[1], z = u[2];
    y[0] = Number{} + std::sqrt(1 / (4 * M_PI));
    if (max_l > 1) {
        const double c = std::sqrt(3 / (4 * M_PI));
        y[1] = c * yy, y[2] = c * z, y[3] = c * x;
    }
    if (max_l > 2) {
        const double c = std::sqrt(15 / (4 * M_PI));
        y[4] = c * x * yy, y[5] = c * yy * z, y[6] = c / std::sqrt(12) * (3.0 * z * z - 1.0);
        y[7] = c * x * z, y[8] = c / 2 * (x * x - yy * yy);
    }
    if (max_l > 3) {
        const double c = std::sqrt(35 / (32 * M_PI)), d = std::sqrt(105 / (4 * M_PI));
        const double e = std::sqrt(21 / (32 * M_PI)), f = std::sqrt(7 / (16 * M_PI));
        y[9] = c * yy * (3.0 * x * x - yy * yy), y[10] = d * x * yy * z, y[11] = e * yy * (5.0 * z * z - 1.0);
        y[12] = f * z * (5.0 * z * z - 3.0), y[13] = e * x * (5.0 * z * z - 1.0), y[14] = d / 2 * z * (x * x - yy * yy);
        y[15] = c * x * (x * x - 3.0 * yy * yy);
    }
}

// ∂(Σ d_lm Y_lm)/∂u of the polynomials above, not yet projected onto the sphere.
inline void harmonics_gradient(const double u[3], int max_l, const double* d, double g[3]) {
    const double x = u[0], y = u[1], z = u[2];
    g[0] = g[1] = g[2] = 0;
    if (max_l > 1) {
        const double c = std::sqrt(3 / (4 * M_PI));
        g[1] += c * d[1], g[2] += c * d[2], g[0] += c * d[3];
    }
    if (max_l > 2) {
        const double c = std::sqrt(15 / (4 * M_PI));
        g[0] += c * (y * d[4] + z * d[7] + x * d[8]);
        g[1] += c * (x * d[4] + z * d[5] - y * d[8]);
        g[2] += c * (y * d[5] + x * d[7] + 6 / std::sqrt(12) * z * d[6]);
    }
    if (max_l > 3) {
        const double c = std::sqrt(35 / (32 * M_PI)), k = std::sqrt(105 / (4 * M_PI));
        const double e = std::sqrt(21 / (32 * M_PI)), f = std::sqrt(7 / (16 * M_PI));
        g[0] += c * 6 * x * y * d[9] + k * y * z * d[10] + e * (5 * z * z - 1) * d[13] + k * x * z * d[14] +
                c * 3 * (x * x - y * y) * d[15];
        g[1] += c * 3 * (x * x - y * y) * d[9] + k * x * z * d[10] + e * (5 * z * z - 1) * d[11] - k * y * z * d[14] -
                c * 6 * x * y * d[15];
        g[2] += k * x * y * d[10] + e * 10 * y * z * d[11] + f * (15 * z * z - 3) * d[12] + e * 10 * x * z * d[13] +
                k / 2 * (x * x - y * y) * d[14];
    }
}

}  // namespace tribond::INSTRUCTION_SET
