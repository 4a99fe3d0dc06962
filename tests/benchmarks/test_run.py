import sys

import pytest

from benchmarks.speed import run
from benchmarks.speed.cases import CASES, Alone, Case
from benchmarks.speed.codes import CODES, PEERS
from benchmarks.speed.environments import EnvironmentFailedError, python_of
from benchmarks.speed.log import Log
from benchmarks.speed.workers import Worker, WorkerError

CASE = Case("Si 8", "step", turns=3, warm_up=1, request={"structure": "Si 8"})
TRAINING = Case("training step of 32", "training", turns=1)


class FakeTeam:
    """Codes that take a second, and one that fails."""

    def __init__(self, failing=()):
        self.failing = failing
        self.asked = []

    def ask(self, code, do, **request):
        self.asked.append((code, do, request.get("turn")))
        if code in self.failing:
            raise WorkerError("no memory")
        return {"rate": 1e11} if do == "multiply" else {"seconds": 1.0}


@pytest.fixture(autouse=True)
def no_rest(monkeypatch):
    monkeypatch.setattr(run, "REST", 0.0)


def test_codes_take_turns_and_the_warm_up_does_not_count(tmp_path):
    log, team = Log(tmp_path / "a.jsonl"), FakeTeam()
    run.in_turns(CASE, ["tribond", "matgl"], team, log)
    assert [code for code, do, _ in team.asked if do == "step"] == ["tribond", "matgl"] * 4
    assert [record["turn"] for record in log.records] == [0, 1, 2]
    assert log.records[0]["seconds"] == {"tribond": 1.0, "matgl": 1.0}
    assert log.records[0]["rate"] == 1e11


def test_an_interrupted_case_goes_on_and_a_complete_one_is_left_alone(tmp_path):
    log, team = Log(tmp_path / "a.jsonl"), FakeTeam()
    log.add(case="Si 8", turn=0, seconds={"tribond": 5.0}, errors={}, rate=1e11)
    run.in_turns(CASE, ["tribond"], team, log)
    assert [record["seconds"]["tribond"] for record in log.records] == [5.0, 1.0, 1.0]
    assert [turn for _, do, turn in team.asked if do == "step"] == [0, 1, 2]  # one to warm up
    team.asked.clear()
    run.in_turns(CASE, ["tribond"], team, log)
    assert team.asked == []


def test_a_code_that_fails_is_named_and_not_asked_again(tmp_path):
    log, team = Log(tmp_path / "a.jsonl"), FakeTeam(failing=("matgl",))
    run.in_turns(CASE, ["tribond", "matgl"], team, log)
    assert [code for code, _, _ in team.asked].count("matgl") == 1
    assert log.records[-1]["errors"] == {"matgl": "no memory"}
    assert log.turns("Si 8", ["tribond", "matgl"]) == log.records


def test_codes_that_do_not_take_part_are_not_asked(tmp_path):
    team = FakeTeam()
    run.in_turns(TRAINING, ["matgl-compiled"], team, Log(tmp_path / "a.jsonl"))
    assert team.asked == []


def test_names_of_cases_are_unique():
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("code", PEERS)
def test_every_package_of_a_peer_is_pinned_and_the_peer_is_among_them(code):
    lines = CODES[code].pins.read_text().splitlines()
    pinned = dict(line.split("==") for line in lines)
    assert len(pinned) == len(lines)
    released = {"matgl": "4.1.2", "mattersim": "1.2.3", "m3gnet": "0.2.4"}
    assert {name: pinned[name] for name in released if name in pinned}.items() <= released.items()
    assert released.keys() & pinned.keys()


def test_an_environment_that_cannot_be_made_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.speed.environments._base_python", lambda: str(tmp_path / "no-python"))
    monkeypatch.setattr("benchmarks.speed.environments._run", fails)
    with pytest.raises(EnvironmentFailedError, match="no such release"):
        python_of("matgl", tmp_path)
    assert not (tmp_path / "matgl" / ".ready").exists()


def fails(_):
    raise EnvironmentFailedError("no such release")


def test_a_process_answers_fails_and_dies_in_words(tmp_path):
    with Worker("tribond", sys.executable, threads=1) as worker:
        assert worker.versions["torch"]
        assert 0 < worker.ask("step", structure="Si 8", turn=0)["seconds"] < 100
        with pytest.raises(WorkerError, match=r"ValueError: there is no cube of 9 silicon atoms"):
            worker.ask("step", structure="Si 9", turn=0)
        assert worker.alive
        log = Log(tmp_path / "a.jsonl")
        run.alone(Alone("tribond", "Si 64", reference="Si 8"), OneWorker(worker), log)
        assert log.records[0]["peak_bytes"] > 0
        assert log.records[0]["rate"] > 0
        assert 0 < min(log.records[0]["reference_seconds"]) < max(log.records[0]["seconds"])
    with pytest.raises(WorkerError):
        worker.ask("versions")
    with pytest.raises(WorkerError, match="ended with status 1: .*no_such_code"):
        Worker("no_such_code", sys.executable, threads=1)


class OneWorker:
    """A team that has started already."""

    def __init__(self, worker):
        self.worker = worker

    def start(self, _):
        return self.worker
