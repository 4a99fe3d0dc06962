"""Memory does not grow with the number of structures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("pymatgen")

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "screening.py"


@pytest.mark.slow
def test_ten_times_the_rows_need_no_more_memory(tmp_path):
    few, many = (
        json.loads(
            subprocess.run(
                [sys.executable, SCRIPT, "--rows", str(rows), "--folder", tmp_path],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for rows in (5_000, 50_000)
    )
    assert many["rows"] == 50_000
    assert many["peak_MB"] < few["peak_MB"] + 25
    # All in one: reading, plan, shards, journal, table. A relaxation takes a thousand times as long.
    assert many["plan_us_per_row"] + many["shards_us_per_row"] + many["results_us_per_row"] < 3000
