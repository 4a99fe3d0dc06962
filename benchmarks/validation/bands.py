"""Four crystals whose phonons have been measured by neutrons."""

from ase.build import bulk

from benchmarks.validation.cases import Case


def crystals() -> list[Case]:
    """Where relaxations begin: near the measured lattice constants."""
    return [
        Case("Si", bulk("Si", "diamond", 5.43)),
        Case("NaCl", bulk("NaCl", "rocksalt", 5.64)),
        Case("MgO", bulk("MgO", "rocksalt", 4.21)),
        Case("Cu", bulk("Cu", "fcc", 3.61)),
    ]
