"""Ray computes the same shards by the same function, whatever dies. `pip install 'tribond[ray]'` for it."""

# ruff: noqa: E402 - what the extra brings is asked for first

import os
import signal
from pathlib import Path

import pytest
from ase.build import bulk

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'tribond[ray]'")
pytest.importorskip("duckdb")
parquet = pytest.importorskip("pyarrow.parquet")

from tribond.screening.engines import Local, run
from tribond.screening.plan import make
from tribond.screening.ray_engine import Ray
from tribond.screening.settings import Settings
from tribond.screening.works import Model

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray has many warnings of its own


@pytest.fixture
def cluster():
    """Two machines of one core each, as far as Ray can tell."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.second = made.add_node(num_cpus=1)
    yield made
    ray.shutdown()
    made.shutdown()


def rows_of(plan):
    rows = [row for number in range(len(plan.sizes)) for row in parquet.read_table(plan.shard(number)).to_pylist()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def workers():
    """Process numbers of Ray's workers that compute a shard."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::_shard"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_rows_come_once_whatever_worker_is_killed_and_whatever_node_is_lost(tmp_path, cluster):
    steps = [{"relax": {"fmax_eV_per_A": 0.01}}]
    wanted = Settings.model_validate({"sources": [{"files": "x"}], "steps": steps, "shard_size": 3})
    crystals = [
        (f"{number}", bulk(symbol, "fcc", a=3.8 + 0.02 * number))
        for number, symbol in enumerate(["Cu", "Al", "Ag"] * 8)
    ]
    plan = make(tmp_path / "ray", wanted, Model("default"), crystals)
    ray.init(address=cluster.address, log_to_driver=False)
    killed, lost = [], []

    def waiting():
        if not lost and sum(plan.shard(number).exists() for number in range(8)) >= 3:
            cluster.remove_node(cluster.second, allow_graceful=False)
            lost.append(True)
        if not killed and any(plan.shard(number).exists() for number in range(8)):
            for pid in workers()[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    found = list(run(plan, Ray(None, None), range(8), waiting))
    assert killed
    assert lost
    assert sum(it.rows for it in found) == 24
    here = make(tmp_path / "here", wanted, Model("default"), crystals)
    list(run(here, Local(0), range(8)))
    assert rows_of(plan) == rows_of(here)
    assert {row["status"] for row in rows_of(plan)} == {"kept"}


def test_no_cluster_is_said():
    from tribond.errors import ConfigError

    with pytest.raises(ConfigError, match="there is no cluster of Ray"):
        list(Ray("auto", None).run(Path(), iter([]), lambda: None))
