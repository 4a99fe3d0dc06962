#include "library/radial.hpp"

#include <algorithm>
#include <cmath>

namespace tribond {
namespace {

// j_l(x) for x > l, where the recurrence loses no digits: all roots lie there.
double bessel(int l, double x) {
    double previous = std::cos(x) / x, current = std::sin(x) / x;  // j_{-1}, j_0
    for (int order = 0; order < l; ++order) {
        const double next = (2 * order + 1) / x * current - previous;
        previous = current;
        current = next;
    }
    return current;
}

// Between a and b, where j_l has opposite signs: halved as long as there is a number in between.
double root_between(int l, double a, double b) {
    const bool rising = bessel(l, a) < 0;
    for (;;) {
        const double middle = a + (b - a) / 2;
        if (middle <= a || middle >= b) break;
        ((bessel(l, middle) < 0) == rising ? a : b) = middle;
    }
    return std::abs(bessel(l, a)) < std::abs(bessel(l, b)) ? a : b;
}

}  // namespace

RadialTables smooth_bessel(int count, double cutoff) {
    RadialTables tables;
    const int columns = count + 1;
    std::vector<double>& rows = tables.factors;
    rows.assign(size_t(count) * columns, 0.0);
    const double norm = std::sqrt(2.0) * M_PI / std::pow(cutoff, 1.5);
    double d_before = 1;
    for (int m = 0; m < count; ++m) {
        const double a = m + 1, b = m + 2;
        const double f = (m % 2 == 0 ? norm : -norm) * a * b / std::sqrt(a * a + b * b);            // (12)
        const double e = double(m) * m * b * b / (4 * a * a * a * a + 1);                           // (13)
        double* row = rows.data() + size_t(m) * columns;
        row[m] = row[m + 1] = f;
        double d = 1;
        if (m > 0) {
            d = 1 - e / d_before;                                                                   // (14)
            const double share = std::sqrt(e / d_before);
            for (int k = 0; k < columns; ++k) row[k] = (row[k] + share * row[k - columns]) / std::sqrt(d);  // (15)
        }
        d_before = d;
    }
    for (int k = 1; k <= columns; ++k) tables.wave_numbers.push_back(k * M_PI / cutoff);
    return tables;
}

RadialTables spherical_bessel(int max_n, int max_l, double cutoff) {
    RadialTables tables;
    std::vector<double> roots;  // of j_l; those of the next one lie between them
    for (int n = 1; n <= max_n + max_l; ++n) roots.push_back(n * M_PI);
    for (int l = 0; l < max_l; ++l) {
        if (l > 0) {
            for (size_t n = 0; n + 1 < roots.size(); ++n) roots[n] = root_between(l, roots[n], roots[n + 1]);
            roots.pop_back();
        }
        for (int n = 0; n < max_n; ++n) {
            tables.wave_numbers.push_back(roots[n] / cutoff);
            tables.factors.push_back(std::sqrt(2 / (cutoff * cutoff * cutoff)) / std::abs(bessel(l + 1, roots[n])));
        }
    }
    return tables;
}

}  // namespace tribond
