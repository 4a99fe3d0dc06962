"""Every frame once an epoch, no batch too large, and a position that is right after any number of steps."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tribond.data.sampler import EdgeBudgetBatches, PartsOfBatches, StepBatches

sizes = st.lists(st.integers(0, 50), min_size=1, max_size=30)


def flat(batches):
    return [index for batch in batches for index in batch]


@given(sizes, st.integers(1, 80), st.integers(0, 3), st.integers(0, 3))
def test_every_frame_once_and_no_batch_too_large(num_edges, budget, seed, epoch):
    batches = EdgeBudgetBatches(np.array(num_edges), budget, seed=seed).batches(epoch)
    assert sorted(flat(batches)) == list(range(len(num_edges)))
    for batch in batches:
        assert len(batch) == 1 or sum(num_edges[index] for index in batch) <= budget


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        return flat(EdgeBudgetBatches(np.full(20, 5), 12, seed=seed).batches(epoch))

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_validation_keeps_the_order():
    batches = EdgeBudgetBatches(np.array([5, 5, 20, 5]), 12, seed=None)
    assert list(batches) == list(batches) == [[0, 1], [2], [3]]
    assert len(batches) == 3


def test_repeats():
    batches = EdgeBudgetBatches(np.full(3, 5), 12, seed=0, repeats=np.array([2.0, 1.0, 0.25]))
    seen = np.bincount(flat(flat(batches.batches(epoch)) for epoch in range(200)), minlength=3)
    assert seen[:2].tolist() == [400, 200]
    assert 30 <= seen[2] <= 70


@given(sizes, st.integers(1, 80), st.integers(2, 4))
def test_processes_share_every_batch(num_edges, budget, world_size):
    edges = np.array(num_edges)
    whole = EdgeBudgetBatches(edges, budget, seed=7)
    parts = [list(PartsOfBatches(whole, edges, rank, world_size)) for rank in range(world_size)]
    for batch, *shared in zip(whole, *parts, strict=True):
        assert sorted(flat(shared)) == sorted(batch)
        work = [sum(num_edges[index] + 1 for index in part) for part in shared]
        assert max(work) - min(work) <= max(num_edges[index] + 1 for index in batch)


@given(sizes, st.integers(1, 80), st.integers(1, 60), st.data())
def test_going_on_gives_the_batches_that_were_left(num_edges, budget, steps, data):
    def start(**where):
        return StepBatches(EdgeBudgetBatches(np.array(num_edges), budget, seed=5), steps, **where)

    whole = start()
    batches = list(whole)
    assert len(batches) == len(whole) == steps
    stop = data.draw(st.integers(0, steps))
    epoch, done = whole.position(stop)
    rest = start(first_step=stop, epoch=epoch, done=done)
    assert list(rest) == batches[stop:]
    again = data.draw(st.integers(stop, steps))
    assert rest.position(again) == whole.position(again)


def test_the_position_counts_steps_not_what_a_loader_asked_for():
    batches = StepBatches(EdgeBudgetBatches(np.full(4, 5), 5, seed=0), 10)
    ahead = iter(batches)
    for _ in range(7):
        next(ahead)
    assert batches.position(2) == (0, 2)
    assert batches.position(4) == (1, 0)
    assert batches.position(6) == (1, 2)
