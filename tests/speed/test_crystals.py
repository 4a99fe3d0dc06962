import numpy as np
import pytest

from tribond.speed.crystals import crystal_of, repeated, sizes


@pytest.mark.parametrize(
    ("elements", "formula"),
    [(("H", "Si", "Cu"), "Si8"), (("H", "C", "O"), "C8"), (("H", "O", "Al"), "Al4"), (("H",), "H4")],
)
def test_a_crystal_of_what_the_model_knows(elements, formula):
    atoms = crystal_of(elements)
    assert str(atoms.symbols) == formula
    assert atoms.pbc.all()
    assert atoms.repeat(2).get_all_distances(mic=True)[0, 1:].min() > 0.6  # no atom in another


def test_sizes_double_up_to_the_largest():
    assert sizes(8, 4096) == [1, 2, 4, 8]
    assert sizes(8, 100_000) == [1, 2, 4, 8, 16, 23]
    assert sizes(8, 5) == [1]
    assert sizes(4, 20, axes=1) == [1, 2, 4, 5]


def test_a_slab_grows_in_its_plane_and_has_no_symmetry_left():
    cell = crystal_of(["Si"])
    cell.pbc = (True, True, False)
    atoms = repeated(cell, 2)
    assert len(atoms) == 32
    assert np.ptp(atoms.positions[:, 2]) < cell.cell[2, 2]
    assert len(np.unique(atoms.positions[:, 0])) == 32
    assert repeated(cell, 2).positions == pytest.approx(atoms.positions)
