"""A screening of about a thousand crystals: six prototypes of the Materials Project with other elements, against a hull of its phases.

    python -m benchmarks.screen_substituted ../shared/datasets/teacher/crystals.extxyz.gz FOLDER
    tribond screen FOLDER/screen.yaml -o FOLDER/out

Writes FOLDER/prototypes, FOLDER/references.extxyz (the elements, and all binary crystals of them of up to 40 atoms in the
catalogue) and FOLDER/screen.yaml.
"""

import argparse
import gzip
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from ase import Atoms
from ase.io import read, write

PROTOTYPES = {
    "mp-22862": "NaCl",
    "mp-10695": "ZnS",
    "mp-2741": "CaF2",
    "mp-5827": "CaTiO3",
    "mp-8001": "LiAlO2",
    "mp-3536": "MgAl2O4",
}
ONE, TWO, THREE, FOUR = "Li, Na, K, Rb, Cs", "Mg, Ca, Sr, Ba, Zn, Cd", "Al, Ga, Sc, La", "Ti, Zr, Hf, Si, Ge, Sn"
ANIONS = "Cl, Br, O, S"  # no crystal of fluorine is in the catalogue
YAML = f"""\
model: default
sources:
  - prototypes: [prototypes/NaCl.cif]
    substitute: {{Na: [{ONE}, {TWO}], Cl: [{ANIONS}]}}
  - prototypes: [prototypes/ZnS.cif]
    substitute: {{Zn: [{ONE}, {TWO}], S: [{ANIONS}]}}
  - prototypes: [prototypes/CaF2.cif]
    substitute: {{Ca: [{TWO}, {FOUR}], F: [{ANIONS}]}}
  - prototypes: [prototypes/CaTiO3.cif]
    substitute: {{Ca: [{ONE}, {TWO}, {THREE}], Ti: [{TWO}, {THREE}, {FOUR}], O: [{ANIONS}]}}
  - prototypes: [prototypes/LiAlO2.cif]
    substitute: {{Li: [{ONE}, {TWO}], Al: [{TWO}, {THREE}, {FOUR}], O: [{ANIONS}]}}
  - prototypes: [prototypes/MgAl2O4.cif]
    substitute: {{Mg: [{TWO}, {FOUR}], Al: [{ONE}, {TWO}, {THREE}], O: [{ANIONS}]}}
references:
  files: references.extxyz
  energies: relax
steps:
  - deduplicate
  - relax: {{fmax_eV_per_A: 0.02, steps: 300}}
  - formation_energy
  - above_hull
results: results.parquet
structures: structures.extxyz
"""


def crystals(path: Path) -> Iterator[tuple[str, set[str], str]]:
    """Comment, elements and text of each frame, without reading numbers."""
    with gzip.open(path, "rt") as file:
        while line := file.readline():
            comment = file.readline()
            atoms = [file.readline() for _ in range(int(line))]
            yield comment, {atom.split()[0] for atom in atoms}, "".join([line, comment, *atoms])


def main() -> None:
    """Write the inputs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crystals", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    known = set(f"{ONE}, {TWO}, {THREE}, {FOUR}, {ANIONS}".split(", "))
    (arguments.folder / "prototypes").mkdir(parents=True, exist_ok=True)
    references: list[Atoms] = []
    for comment, elements, text in crystals(arguments.crystals):
        identity = comment.split("id=")[1].split()[0]
        size = int(text.split(maxsplit=1)[0])
        if identity in PROTOTYPES:
            write(
                arguments.folder / "prototypes" / f"{PROTOTYPES[identity]}.cif", read(StringIO(text), format="extxyz")
            )
        if elements <= known and (len(elements) == 1 or (len(elements) == 2 and size <= 40)):
            references.append(read(StringIO(text), format="extxyz"))
    write(arguments.folder / "references.extxyz", references)
    (arguments.folder / "screen.yaml").write_text(YAML)
    print(f"{len(references)} references")


if __name__ == "__main__":
    main()
