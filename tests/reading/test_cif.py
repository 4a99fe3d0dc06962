"""CIF: what the file says about itself is what comes out, or a sentence."""

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from tribond.errors import StructureError
from tribond.reading.cif import read_cif
from tribond.reading.content import Options

CELL = "_cell_length_a {a}\n_cell_length_b {b}\n_cell_length_c {c}\n_cell_angle_alpha {al}\n_cell_angle_beta {be}\n_cell_angle_gamma {ga}\n"


def cif(sites, extra="", columns="fract_x fract_y fract_z", a=5.0, b=None, c=None, al=90, be=90, ga=90):
    cell = CELL.format(a=a, b=b or a, c=c or a, al=al, be=be, ga=ga)
    head = "".join(f"_atom_site_{name}\n" for name in ("label", *columns.split()))
    return f"data_x\n{cell}{extra}\nloop_\n{head}" + "\n".join(sites) + "\n"


def read(text):
    (atoms,), notes = read_cif(text, Options())
    return atoms, notes


def test_the_origin_that_is_named_and_the_one_that_fits():
    site = ["Si1 0.125 0.125 0.125"]
    for extra, atoms in [
        ("_symmetry_space_group_name_H-M 'F d -3 m :2'", 8),
        ("_symmetry_space_group_name_H-M 'F d -3 m Z'", 8),
        ("_space_group_name_H-M_alt 'F d -3 m'\n_space_group_IT_coordinate_system_code 2", 8),
        ("_space_group_name_Hall '-F 4vw 2vw 3'", 8),
        ("_symmetry_Int_Tables_number 227\n_chemical_formula_sum Si8", 8),
        ("_symmetry_space_group_name_H-M 'F d -3 m'\n_chemical_formula_sum Si\n_cell_formula_units_Z 8", 8),
    ]:
        read_atoms, _ = read(cif(site, extra, a=5.43))
        assert len(read_atoms) == atoms
        distances = read_atoms.get_all_distances(mic=True)
        assert distances[distances > 0].min() == pytest.approx(5.43 * 3**0.5 / 4)


def test_a_wrong_origin_stops_with_both_formulas():
    text = cif(
        ["C1 0.125 0.125 0.125"], "_symmetry_space_group_name_H-M 'F d -3 m :1'\n_chemical_formula_sum C8", a=3.57
    )
    with pytest.raises(StructureError, match="C8, but .* C16"):
        read(text)


def test_an_origin_that_nothing_decides_is_asked_for():
    text = cif(["Na1 0 0 0"], "_symmetry_space_group_name_H-M 'P n n n'", a=8.0)
    with pytest.raises(StructureError, match="which origin"):
        read(text)


def test_magnetic_operations_and_centrings():
    operations = (
        "loop_\n_space_group_symop_magn_operation.id\n_space_group_symop_magn_operation.xyz\n1 x,y,z,+1\n2 -x,-y,-z,+1\n"
        "loop_\n_space_group_symop_magn_centering.id\n_space_group_symop_magn_centering.xyz\n1 x,y,z,+1\n"
        "2 x+1/2,y+1/2,z+1/2,-1"
    )
    atoms, _ = read(cif(["Fe1 0 0 0", "O1 0.2 0.1 0.3"], operations + "\n_chemical_formula_sum 'Fe2 O4'"))
    assert atoms.get_chemical_formula() == "Fe2O4"
    with pytest.raises(StructureError, match="magnetic space group .* lists no operations"):
        read(cif(["Fe1 0 0 0"], "_space_group_magn.name_BNS \"P4_2'/mnm'\""))


def test_contradictions_stop():
    with pytest.raises(StructureError, match=r"Cl4 Na4, but .* Na1"):
        read(cif(["Na1 0 0 0"], "_chemical_formula_sum 'Na4 Cl4'\n_symmetry_space_group_name_H-M 'P 1'"))
    with pytest.raises(StructureError, match="2 times in the cell"):
        read(cif(["Na1 0 0 0", "Na2 0 .5 0", "Na3 .5 0 0"], "_chemical_formula_sum Na\n_cell_formula_units_Z 2"))
    with pytest.raises(StructureError, match="_cell_volume is 200"):
        read(cif(["Na1 0 0 0"], "_cell_volume 200"))


def test_deuterium_has_its_mass():
    text = cif(["D1 D 0 0 0.1", "H1 H 0.5 0.5 0.6", "O1 O 0 0 0.3"], columns="type_symbol fract_x fract_y fract_z")
    atoms, notes = read(text)
    assert atoms.get_chemical_formula() == "H2O"
    assert atoms.get_masses() == pytest.approx([2.0141, 1.008, 15.999], abs=1e-3)
    assert "1 atoms of hydrogen have the mass of deuterium, 2.014 u" in notes


def test_hydrogen_without_positions_is_a_note():
    atoms, notes = read(cif(["O1 0 0 0"], "_chemical_formula_sum 'H2 O'\n_cell_formula_units_Z 1"))
    assert len(atoms) == 1
    assert any("hydrogen" in text for text in notes)
    atoms, notes = read(cif(["O1 0 0 0", "H1 ? ? ?", "H2 . . ."]))
    assert (len(atoms), "2 hydrogen sites" in " ".join(notes)) == (1, True)
    with pytest.raises(StructureError, match="site O2 has no coordinates"):
        read(cif(["O1 0 0 0", "O2 ? ? ?"]))


@pytest.mark.parametrize("value", ["1", "1.000(4)", ".", "?", "0.9999", "1.0", "0.995(7)"])
def test_full_sites(value):
    atoms, _ = read(cif([f"Cs1 0 0 0 {value}"], columns="fract_x fract_y fract_z occupancy"))
    assert len(atoms) == 1


def test_partial_sites_and_alternatives():
    with pytest.raises(StructureError, match=r"partly occupied \(Cs1 0.5\)"):
        read(cif(["Cs1 0 0 0 0.5(1)"], columns="fract_x fract_y fract_z occupancy"))
    with pytest.raises(StructureError, match="alternatives of a disorder"):
        read(cif(["O1 0 0 0 1", "O2 0.1 0 0 2"], columns="fract_x fract_y fract_z disorder_group"))


def test_coarse_coordinates():
    hexagonal = {"a": 3.0, "c": 5.0, "ga": 120}
    group = "_symmetry_space_group_name_H-M 'P 63/m m c'"
    atoms, notes = read(cif(["Mg1 0.333 0.667 0.25"], group, **hexagonal))
    assert len(atoms) == 2
    assert any("rounded" in text for text in notes)
    with pytest.raises(StructureError, match="too coarse for the special position"):
        read(cif(["Mg1 0.31 0.67 0.25"], group, **hexagonal))


def test_settings_that_are_not_the_cells():
    with pytest.raises(StructureError, match="does not have the symmetry"):
        read(cif(["Na1 0 0 0"], "_symmetry_space_group_name_H-M 'F m -3 m'", a=5.0, c=6.0))
    atoms, _ = read(
        cif(["As1 0.227 0.227 0.227"], "_symmetry_space_group_name_H-M 'R -3 m'", a=4.13, al=54, be=54, ga=54)
    )
    assert len(atoms) == 2
    atoms, _ = read(cif(["As1 0 0 0.227"], "_symmetry_space_group_name_H-M 'R -3 m'", a=3.76, c=10.55, ga=120))
    assert len(atoms) == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_x\n_a 1\n", "no atoms in this CIF"),
        ("data_x\nloop_\n_a\n_b\n1 2 3\n", "no sound CIF"),
        (cif(["Na1 0 0 0"], a=0), "_cell_length_a is 0"),
        (cif(["Na1 0 0 0"], al=30, be=30, ga=100), "span no cell"),
        (cif(["Na1 0 zero 0"]), "are no numbers"),
        (cif(["Wat1 0 0 0"]), "label 'Wat1' of atom 0"),
        (cif(["Na1 0 0 0"], "_symmetry_space_group_name_H-M 'P 9 9 9'"), "is unknown"),
        (cif(["Na1 0 0 0"], "_symmetry_Int_Tables_number 231"), "no space group number 231"),
        (cif(["Na1 0 0 0"], "loop_\n_symmetry_equiv_pos_as_xyz\nx,y"), "no symmetry operation"),
        (cif(["Na1 0 0 0"], "loop_\n_symmetry_equiv_pos_as_xyz\n2x,y,z"), "changes the volume"),
    ],
)
def test_sentences(text, message):
    with pytest.raises(StructureError, match=message):
        read(text)


def test_as_ase_reads_what_it_reads_rightly(tmp_path):
    from ase.io import read as ase_read

    for atoms in (bulk("NaCl", "rocksalt", a=5.6), bulk("Mg"), bulk("SiC", "wurtzite", a=3.1, c=5.0)):
        write(tmp_path / "x.cif", atoms)
        mine, _ = read((tmp_path / "x.cif").read_text())
        other = ase_read(tmp_path / "x.cif")
        assert np.array_equal(mine.numbers, other.numbers)
        assert mine.positions == pytest.approx(other.positions, abs=1e-6)
        assert mine.cell.array == pytest.approx(other.cell.array, abs=1e-6)


def test_several_blocks_and_latin_letters():
    text = (
        "# Universit\xe4t\ndata_global\n_author 'M\xfcller'\n"
        + cif(["Na1 0 0 0"])
        + cif(["K1 0 0 0"]).replace("data_x", "data_y")
    )
    images, _ = read_cif(text, Options())
    assert [str(atoms.symbols) for atoms in images] == ["Na", "K"]


def test_numbers_and_lists_against_the_name_of_the_group():
    name = "_symmetry_space_group_name_H-M 'F m -3 m'\n"
    sites = ["Na1 4 0 0 0", "Cl1 8 0.5 0.5 0.5"]
    text = cif(sites, name + "_symmetry_Int_Tables_number 225", "symmetry_multiplicity fract_x fract_y fract_z")
    atoms, notes = read(text)
    assert len(atoms) == 8
    assert notes == ["the file says that Cl1 stands for 8 atoms of the cell, but its symmetry gives 4"]
    assert read(text.replace("Cl1 8", "Cl1 4"))[1] == []
    with pytest.raises(StructureError, match=r"F m -3 m, which has the number 225, but it says number 221"):
        read_cif(text.replace("225", "221"), Options())
    listed = "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n"
    atoms, notes = read(cif(["Na1 0 0 0"], name + listed))
    assert len(atoms) == 1
    assert notes == [
        "the file lists 1 symmetry operations, but its space group F m -3 m has 192: the operations listed were taken"
    ]
    assert read(cif(["Na1 0 0 0"], name.replace("F m -3 m", "P 1") + listed))[1] == []
    hexagonal = (
        "_symmetry_space_group_name_H-M 'R -3 :R'\nloop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'y,z,x'\n'z,x,y'\n"
    )
    hexagonal += "'-x,-y,-z'\n'-y,-z,-x'\n'-z,-x,-y'\n"
    assert read(cif(["Na1 0 0 0"], hexagonal, a=4, al=60, be=60, ga=60))[1] == []


def test_an_angle_that_is_none_is_called_an_angle():
    with pytest.raises(StructureError, match="_cell_angle_gamma is 0; a crystal needs an angle"):
        read_cif(cif(["Na1 0 0 0"], ga=0), Options())
