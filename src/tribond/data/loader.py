"""Batches that are made while the last one is computed with."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from torch.utils.data import DataLoader

from tribond.data.dataset import LabeledGraph

AHEAD = 2  # batches that are ready, or being made
END = object()


class LoaderAhead(DataLoader[LabeledGraph]):
    """A loader whose batches are made by one thread beside the training, in the same order and to the same numbers.

    Making a batch is reading, and searching for neighbours in compiled code that leaves Python to others meanwhile; a
    thread needs no copy of the process and nothing sent between two. With worker processes it is PyTorch's own loader.
    """

    def __iter__(self) -> Iterator[LabeledGraph]:  # type: ignore[override]  # PyTorch promises a class of its own
        """One batch after the other."""
        batches = super().__iter__()
        return batches if self.num_workers else _ahead(batches)


def _ahead(batches: Iterator[LabeledGraph]) -> Iterator[LabeledGraph]:
    waiting: deque[Future[Any]] = deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix="batches")  # one: they come in order
    try:
        waiting.extend(pool.submit(next, batches, END) for _ in range(AHEAD))
        while (batch := waiting.popleft().result()) is not END:
            waiting.append(pool.submit(next, batches, END))
            yield batch
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
