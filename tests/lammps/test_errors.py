"""What is wrong in a deck is said in a sentence that names it."""

import pytest
from ase.build import bulk

from tests.structures import rattled
from tribond.integrations.lammps.find import LammpsError

GOOD = {
    "first": "units metal",
    "atoms": "read_data atoms.data",
    "style": "pair_style tribond",
    "coefficients": "pair_coeff * * model.safetensors C Si",
    "more": "",
}


@pytest.fixture
def folder(deck, potential):
    """A structure, a model, and files that are none."""
    deck.save(potential)
    deck.structure(rattled(bulk("SiC", "zincblende", a=4.5, cubic=True)))
    whole = (deck.folder / "model.safetensors").read_bytes()
    (deck.folder / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    (deck.folder / "text.safetensors").write_text("no model")
    (deck.folder / "empty.safetensors").touch()
    (deck.folder / "folder.safetensors").mkdir()
    return deck


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"first": "units real"}, "needs 'units metal'.*not 'units real'"),
        ({"first": "units metal\nnewton off"}, "needs 'newton on'"),
        ({"coefficients": "pair_coeff * * model.safetensors C Ge"}, "does not know 'Ge'; it knows H C O Si Cu"),
        ({"coefficients": "pair_coeff * * model.safetensors C"}, "names 1 element for 2 atom types"),
        ({"coefficients": "pair_coeff * * model.safetensors C Si O"}, "names 3 elements for 2 atom types"),
        ({"coefficients": "pair_coeff * * model.safetensors NULL NULL"}, "all atom types are NULL"),
        ({"coefficients": "pair_coeff 1 1 model.safetensors C Si"}, r"must (begin|start) with \* \*"),
        ({"coefficients": "pair_coeff * *"}, "write pair_coeff"),
        ({"coefficients": ""}, "(has no model yet|[Pp]air coeff.* not set)"),
        ({"coefficients": "pair_coeff * * missing.safetensors C Si"}, "cannot read missing.safetensors: No such file"),
        ({"coefficients": "pair_coeff * * half.safetensors C Si"}, "half.safetensors"),
        ({"coefficients": "pair_coeff * * text.safetensors C Si"}, "text.safetensors"),
        ({"coefficients": "pair_coeff * * empty.safetensors C Si"}, "cannot read empty.safetensors: it is empty"),
        ({"coefficients": "pair_coeff * * folder.safetensors C Si"}, "cannot read folder.safetensors: Is a directory"),
        ({"style": "pair_style tribond threads 2000"}, "threads must be from 1 to 1024"),
        (
            {"atoms": "read_data atoms.data\ncreate_atoms 1 single 1 1 1\ncreate_atoms 1 single 1 1 1.001"},
            "atoms 9 and 10 are 0.001 Angstrom",
        ),
        ({"style": "pair_style tribond precision half"}, "precision is single or double, not 'half'"),
        ({"style": "pair_style tribond threads 0"}, "threads must be at least 1, not 0"),
        ({"style": "pair_style tribond threads"}, "'threads' needs a value"),
        ({"style": "pair_style tribond cutoff 5"}, "does not know 'cutoff'"),
        ({"more": "pair_modify tail yes"}, "pair_modify tail and shift"),
        ({"more": "pair_modify shift yes"}, "pair_modify tail and shift"),
        (
            {"more": "group some id 1 2", "first": "units metal\natom_modify first some\nneigh_modify include some"},
            "(leave out 'neigh_modify include'|group)",
        ),
    ],
    ids=lambda it: "" if isinstance(it, str) else " ".join(it.values()),
)
def test_it_is_said(folder, changes, said, ranks):
    if ranks > 1 and "missing" not in str(changes) and "half." not in str(changes) and "real" not in str(changes):
        pytest.skip("one rank says it all")
    with pytest.raises(LammpsError, match=said):
        folder.run("\n".join((GOOD | changes).values()) + "\nrun 0", ranks)


def test_bonds_must_not_hide_neighbours(folder):
    commands = """
        units metal
        atom_style bond
        region box block 0 9 0 9 0 9
        create_box 1 box bond/types 1 extra/bond/per/atom 2 extra/special/per/atom 4
        create_atoms 1 single 4 4 4
        create_atoms 1 single 5.5 4 4
        mass 1 12.0
        bond_style zero
        bond_coeff 1 1.5
        create_bonds single/bond 1 1 2
        {special}
        pair_style tribond
        pair_coeff * * model.safetensors C
        run 0
    """
    with pytest.raises(LammpsError, match="special_bonds lj/coul 1 1 1"):
        folder.run(commands.format(special=""))
    folder.run(commands.format(special="special_bonds lj/coul 1 1 1"))


def test_leaving_bonds_out_is_warned_of(folder):
    commands = "\n".join(GOOD.values()) + "\nneigh_modify exclude type 1 1\nrun 0"
    assert "takes bonds out" in folder.run(commands)


@pytest.mark.parametrize(
    ("elements", "is_warned"),
    [("C Si", True), ("C NULL", False)],
    ids=["a bond of the model", "a type of another style"],
)
def test_a_hybrid_that_takes_bonds_away_is_warned_of(folder, elements, is_warned):
    hybrid = {
        "style": "pair_style hybrid tribond lj/cut 5",
        "coefficients": f"pair_coeff * * tribond model.safetensors {elements}",
        "more": "pair_coeff *2 2 lj/cut 0.01 2",
    }
    printed = folder.run("\n".join((GOOD | hybrid).values()) + "\nrun 0")
    assert ("takes bonds of atom types 1 and 2 out" in printed) == is_warned
