"""Data sets that others published: where they are, what they hold, and what their publishers say of their checksums."""

from dataclasses import dataclass

FIGSHARE = "https://ndownloader.figshare.com/files"
MATPES_2025_1 = "https://s3.us-east-1.amazonaws.com/materialsproject-contribs/MatPES_2025_1"
PICKLED = (
    "The files are pickles, which may run any program when they are read: tribond downloads and checks them, and does not "
    "read them. docs/data.md says how to convert them in a sandbox; MPtrj has these calculations and more, as JSON"
)


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One file of a data set."""

    name: str
    url: str
    md5: str | None = None
    size: int | None = None  # bytes
    figshare: int | None = None  # number of the article whose list of files has the checksum


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """What is known of a data set."""

    name: str
    files: tuple[DataFile, ...]
    structures: int
    level: str  # of theory
    page: str  # with licence and citation
    note: str = ""  # what to know before it is downloaded


DATA_SETS = {
    it.name: it
    for it in (
        DataSet(
            name="MPtrj",
            files=(
                DataFile(
                    name="MPtrj_2022.9_full.json",
                    url=f"{FIGSHARE}/41619375",
                    md5="50ead5f27f9a4f6beb7564c4188f1e9f",
                    size=12188168685,
                ),
            ),
            structures=1580395,
            level="PBE(+U), Materials Project settings",
            page="https://figshare.com/articles/dataset/23713842",
        ),
        *(
            DataSet(
                name=f"MatPES-{functional}-2025.1",
                files=(
                    DataFile(
                        name=f"MatPES-{functional}-2025.1.json.gz",
                        url=f"{MATPES_2025_1}/MatPES-{functional}-2025.1.json.gz",
                    ),
                ),
                structures=structures,
                level=level,
                page="https://github.com/materialyzeai/matpes",
            )
            for functional, level, structures in (("PBE", "PBE", 434712), ("R2SCAN", "r2SCAN", 387897))
        ),
        DataSet(
            name="MPF.2021.2.8",
            files=tuple(
                DataFile(name=f"block_{number}.p", url=f"{FIGSHARE}/{file}", figshare=19470599)
                for number, file in ((0, 37587100), (1, 37587103))
            ),
            structures=187687,
            level="PBE(+U), Materials Project settings",
            page="https://figshare.com/articles/dataset/MPF_2021_2_8/19470599",
            note=PICKLED,
        ),
    )
}
