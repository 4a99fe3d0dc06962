// Prints the tables of a radial basis: `smooth COUNT CUTOFF`, or `spherical MAX_N MAX_L CUTOFF`. pytest compares them.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "library/radial.hpp"

int main(int, char** arguments) {
    const bool smooth = std::strcmp(arguments[1], "smooth") == 0;
    const tribond::RadialTables tables =
        smooth ? tribond::smooth_bessel(std::atoi(arguments[2]), std::atof(arguments[3]))
               : tribond::spherical_bessel(std::atoi(arguments[2]), std::atoi(arguments[3]), std::atof(arguments[4]));
    for (double number : tables.wave_numbers) std::printf("%.17g ", number);
    std::printf("\n");
    for (double number : tables.factors) std::printf("%.17g ", number);
    std::printf("\n");
    return 0;
}
