"""Measured and published numbers that no file of the data has."""

from dataclasses import dataclass

CM = 0.0299792458  # THz of 1 cm⁻¹


@dataclass(frozen=True)
class Frequency:
    """A measured phonon."""

    crystal: str
    point: str
    branch: str
    THz: float
    modes: tuple[int, ...]  # which of the potential's modes at this point, the lowest first, it is compared with


# Silicon at room temperature: Dolling, Inelastic Scattering of Neutrons in Solids and Liquids II, 37 (1963); Nilsson and
# Nelin, Phys. Rev. B 6, 3777 (1972); as tabled by Yin and Cohen, Phys. Rev. B 26, 3259 (1982).
# Copper: Nicklow et al., Phys. Rev. 164, 922 (1967), as tabled by Mishin et al., Phys. Rev. B 63, 224106 (2001).
# Transverse optical modes at Γ, by infrared light at room temperature: NaCl 164 cm⁻¹, Lowndes and Martin, Proc. R. Soc. A
# 308, 473 (1969); MgO 401 cm⁻¹, Jasperse et al., Phys. Rev. 146, 526 (1966). The longitudinal ones are left out: they need
# Born charges, which potentials do not give.
FREQUENCIES = (
    Frequency("Si", "Γ", "LTO", 15.53, (3, 4, 5)),
    Frequency("Si", "X", "TA", 4.49, (0, 1)),
    Frequency("Si", "X", "LOA", 12.32, (2, 3)),
    Frequency("Si", "X", "TO", 13.90, (4, 5)),
    Frequency("Si", "L", "TA", 3.43, (0, 1)),
    Frequency("Si", "L", "LA", 11.35, (2,)),
    Frequency("Si", "L", "LO", 12.60, (3,)),
    Frequency("Si", "L", "TO", 14.68, (4, 5)),
    Frequency("NaCl", "Γ", "TO", 164 * CM, (3, 4, 5)),
    Frequency("MgO", "Γ", "TO", 401 * CM, (3, 4, 5)),
    Frequency("Cu", "X", "T", 5.16, (0, 1)),
    Frequency("Cu", "X", "L", 7.38, (2,)),
    Frequency("Cu", "L", "T", 3.41, (0, 1)),
    Frequency("Cu", "L", "L", 7.44, (2,)),
)

# Li10GeP2S12. Dynamics with PBE forces: Mo, Ong and Ceder, Chem. Mater. 24, 15 (2012). Measured: Kamaya et al., Nat. Mater.
# 10, 682 (2011), 24 kJ/mol.
ACTIVATION_ENERGIES_EV = {"PBE dynamics": 0.21, "measured": 0.25}
