from benchmarks.speed.cases import CASES
from benchmarks.speed.pictures import draw, memory_points, time_points
from benchmarks.speed.summary import Comparison, Single

SI_64 = next(case for case in CASES if case.name == "Si 64")


def single(code, structure, seconds, peak_bytes=10**7):
    return Single(code, structure, int(structure.split()[1]), 1000, seconds, None, None, peak_bytes, None)


def test_the_picture_has_all_codes_and_the_sizes_that_only_tribond_reaches():
    compared = [Comparison(SI_64, {"tribond": 0.064, "matgl": 0.64}, {}, "matgl", 10.0, 0.01, 3)]
    alone = [
        single("tribond", "Si 64", 9.0),
        single("tribond", "Si 512", 0.512),
        single("tribond", "Si 512 dense", 9.0),
    ]
    points = time_points(compared, alone)
    assert points == {"tribond": [(64, 1000.0), (512, 1000.0)], "matgl": [(64, 10000.0)]}


def test_memory_is_shown_where_it_was_measured():
    failed = Single("matgl", "Si 64", 64, 1000, None, None, None, None, "killed")
    assert memory_points([single("matgl", "Si 512", 1.0), failed]) == {"matgl": [(512, 10.0)]}


def test_pictures_are_small_and_the_same_every_time(tmp_path):
    points = {"tribond": [(8, 50.0), (64, 20.0)], "matgl": [(8, 500.0), (64, 200.0)]}
    first, second = tmp_path / "images" / "a.svg", tmp_path / "images" / "b.svg"
    for path in (first, second):
        draw(points, "µs per atom", path, limit=lambda _: 5.0)
    text = first.read_text(encoding="utf-8")
    assert text == second.read_text(encoding="utf-8")
    assert len(text) < 100_000
    assert all(word in text for word in ("MatGL", "tribond", "limit", "µs per atom"))
