"""Computes each shard in a process of its own, with a potential that behaves badly for some elements. Run by test_shards."""

import os
import sys
import time
from pathlib import Path

from tribond.errors import StructureError
from tribond.screening import works
from tribond.screening.shard import compute_shard
from tribond.screening.works import Computed

FOLDER = Path(sys.argv[1])
DIARY = FOLDER / "diary"


class Moody(works.Predict):
    """Energies by count of atoms; Ag kills, Pd kills the first time, Pt hangs, Au is refused."""

    def __call__(self, structures):
        symbols = {str(atoms.symbols[0]) for atoms in structures}
        with DIARY.open("a") as file:
            file.write(" ".join(str(atoms.symbols) for atoms in structures) + "\n")
        if "Ag" in symbols or ("Pd" in symbols and DIARY.read_text().count("Pd") == 1):
            os.abort()
        if "Pt" in symbols:
            time.sleep(100)
        if "Au" in symbols:
            raise StructureError("gold is dear")
        return [
            Computed({"status": "ok", "energy_eV": -float(len(it)), "energy_eV_per_atom": -1 / 3, "seconds": 0.0}, it)
            for it in structures
        ]


if __name__ == "__main__":
    works.Predict = Moody
    for line in sys.stdin:
        child = os.fork()  # of a process without threads, which has everything imported
        if not child:
            compute_shard(FOLDER, int(line), exit_when_late=True)
            os._exit(0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()
