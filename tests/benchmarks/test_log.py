from benchmarks.speed.log import Log, machine, state_of_the_code


def turn(log, seconds, errors=None):
    log.add(case="Si 8", turn=0, seconds=seconds, errors=errors or {}, rate=1.0)


def test_what_was_written_is_read_again(tmp_path):
    path = tmp_path / "results" / "a.jsonl"
    turn(Log(path), {"tribond": 1.0})
    again = Log(path)
    again.add(alone="tribond", structure="Si 64", peak_bytes=1)
    assert len(Log(path).records) == 2
    assert Log(path).alone("tribond", "Si 64")["peak_bytes"] == 1
    assert Log(path).alone("tribond", "Si 512") is None
    assert Log(path, anew=True).records == []


def test_a_line_that_was_cut_off_is_forgotten(tmp_path):
    path = tmp_path / "a.jsonl"
    turn(Log(path), {"tribond": 1.0})
    with path.open("a") as file:
        file.write('{"case": "Si 8", "seco')
    log = Log(path)
    turn(log, {"tribond": 2.0})
    assert [record["seconds"]["tribond"] for record in Log(path).records] == [1.0, 2.0]


def test_turns_of_other_codes_do_not_count(tmp_path):
    log = Log(tmp_path / "a.jsonl")
    turn(log, {"tribond": 1.0, "matgl": 2.0})
    turn(log, {"tribond": 1.0}, {"matgl": "out of memory"})
    turn(log, {"tribond": 1.0})
    assert len(log.turns("Si 8", ["matgl", "tribond"])) == 2  # a code that failed took part
    assert len(log.turns("Si 8", ["tribond"])) == 1
    assert log.turns("Si 64", ["tribond"]) == []


def test_code_and_machine_have_names():
    assert state_of_the_code()
    assert machine(2)["threads"] == 2
    assert machine(2)["memory_GB"] > 0
