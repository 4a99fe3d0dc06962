"""Write the validation part of the Materials Project-like files, to evaluate a potential on.

Run it as ``python recipes/built_in/write_validation.py recipes/built_in/datasets/mp_like validation``, and then
``tribond evaluate default validation/*.extxyz``.
"""

import gzip
import io
import sys
from pathlib import Path

from ase.io import read, write

from split import is_validation


def main() -> None:
    """Copy the frames of the validation fold, file by file."""
    source, target = (Path(argument) for argument in sys.argv[1:3])
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.glob("*.extxyz.gz")):
        frames = read(io.StringIO(gzip.decompress(file.read_bytes()).decode()), index=":", format="extxyz")
        kept = [frame for frame in frames if is_validation(frame)]
        write(target / file.stem, kept, format="extxyz")
        print(f"{file.stem}: {len(kept)} of {len(frames)} frames")


if __name__ == "__main__":
    main()
