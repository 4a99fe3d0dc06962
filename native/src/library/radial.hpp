// Wave numbers and factors of the radial functions, as nn/basis.py works them out.
#pragma once

#include <vector>

namespace tribond {

struct RadialTables {
    std::vector<double> wave_numbers, factors;
};

// The orthonormal smooth functions (10)-(15): (count + 1,) 1/Å, and (count, count + 1) coefficients of the sincs.
RadialTables smooth_bessel(int count, double cutoff);

// j_l(z_ln r / r_c), l by l: (max_l · max_n) wave numbers z_ln / r_c, and the norms.
RadialTables spherical_bessel(int max_n, int max_l, double cutoff);

}  // namespace tribond
