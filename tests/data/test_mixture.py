"""Every source has its share everywhere, its structures come equally often, and going on gives what was left."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tribond.data.mixture import MixedBatches, StagedBatches, shares_of
from tribond.errors import DataError

SIZES = (700, 30, 270)
SHARES = np.array([0.6, 0.15, 0.25])
SOURCES = np.repeat([0, 1, 2], SIZES)


def mixed(*, seed=3, budget=120, drawn=(), shares=SHARES, **process):
    edges = np.random.default_rng(0).integers(5, 20, len(SOURCES))
    return MixedBatches(edges, budget, seed=seed, sources=SOURCES, shares=shares, drawn=drawn, **process)


def stream(batches, epochs):
    return np.concatenate([batches.order(epoch) for epoch in range(epochs)])


def test_a_source_has_its_share_in_every_stretch():
    sources = SOURCES[stream(mixed(), 20)]
    assert len(sources) == pytest.approx(20_000, abs=3)
    seen = np.cumsum(sources[:, None] == np.arange(3), axis=0)
    for window in (20, 137, 5000):  # short and long
        counts = seen[window:] - seen[:-window]
        assert np.abs(counts - window * SHARES).max() < 3


def test_nearly_every_batch_has_the_small_source():
    batches = [batch for epoch in range(5) for batch in mixed(budget=200).batches(epoch)]
    without = [batch for batch in batches if not (SOURCES[batch] == 1).any()]
    assert len(without) < 0.02 * len(batches)


def test_the_structures_of_a_source_come_equally_often():
    order = stream(mixed(), 7)
    for stop in (1234, 4000, len(order)):
        counts = np.bincount(order[:stop], minlength=len(SOURCES))
        for source in range(3):
            assert np.ptp(counts[source == SOURCES]) <= 1


def test_passes_differ_and_the_seed_counts():
    small = [index for index in stream(mixed(), 3) if SOURCES[index] == 1]
    assert sorted(small[:30]) == sorted(small[30:60])
    assert small[:30] != small[30:60]
    assert stream(mixed(), 1).tolist() == stream(mixed(), 1).tolist()
    assert stream(mixed(), 1).tolist() != stream(mixed(seed=4), 1).tolist()


def test_shares_of_the_rest():
    shares = shares_of(np.array([100, 300, 50]), [None, None, 0.2], [2.0, 1.0, 1.0], "abc")
    assert shares == pytest.approx([0.8 * 200 / 500, 0.8 * 300 / 500, 0.2])
    assert shares_of(np.array([5, 5]), [0.3, 0.7], [1.0, 1.0], "ab") == pytest.approx([0.3, 0.7])
    with pytest.raises(DataError, match="source b is to have a share of 0.3, but has no structures"):
        shares_of(np.array([5, 0]), [None, 0.3], [1.0, 1.0], "ab")
    with pytest.raises(DataError, match="without a share have no structures"):
        shares_of(np.array([0, 5]), [None, 0.3], [1.0, 1.0], "ab")


def test_a_share_of_zero_leaves_a_source_out():
    order = stream(mixed(shares=np.array([0.8, 0.0, 0.2])), 3)
    assert not (SOURCES[order] == 1).any()


STAGES = (SHARES, np.array([0.2, 0.5, 0.3]), np.array([0.0, 0.1, 0.9]))
ENDS = [50, 130, 200]


def staged(**where):
    def make(stage, drawn):
        return mixed(shares=STAGES[stage], budget=(120, 250, 90)[stage], drawn=drawn)

    return StagedBatches(make, ENDS, **where)


def test_a_stage_goes_on_in_every_source_where_the_last_stopped():
    batches = list(staged())
    assert len(batches) == len(staged()) == 200
    for stop in ENDS:
        counts = np.bincount(np.concatenate(batches[:stop]), minlength=len(SOURCES))
        for source in range(3):
            assert np.ptp(counts[source == SOURCES]) <= 1
    third = SOURCES[np.concatenate(batches[130:])]
    assert np.bincount(third) / len(third) == pytest.approx([0.0, 0.1, 0.9], abs=0.01)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 200), st.data())
def test_going_on_gives_the_batches_that_were_left(stop, data):
    whole = staged()
    batches = list(whole)
    rest = staged(first_step=stop, position=whole.position(stop))
    assert list(rest) == batches[stop:]
    again = data.draw(st.integers(stop, 200))
    assert rest.position(again) == whole.position(again)


def test_the_position_counts_steps_not_what_a_loader_asked_for():
    ahead = staged()
    given_out = iter(ahead)
    for _ in range(60):  # already in the second stage
        next(given_out)
    assert ahead.position(49).stage == 0
    assert ahead.position(50) == staged_position(50)


def staged_position(step):
    whole = staged()
    list(whole)
    return whole.position(step)
