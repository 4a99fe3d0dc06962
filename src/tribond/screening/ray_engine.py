"""Shards computed by Ray, on as many machines as its cluster has. All of them must see the folder of the screening."""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tribond.errors import ConfigError
from tribond.screening.engines import Call
from tribond.screening.pool import POLL_S, Done, Failure, failure_of
from tribond.screening.shard import Summary

AHEAD = 2  # tasks for each place to compute that wait


@dataclass(frozen=True)
class Ray:
    """Tasks of one core each (and one GPU, where the model runs on GPUs).

    Attributes:
        address: of a cluster, such as auto or ray://head:10001; None: the one that RAY_ADDRESS names, else one is started
            here.
        jobs: at most so many tasks at once; None: as many as the cluster has room for.
        gpu: whether each task needs a GPU.
    """

    address: str | None
    jobs: int | None
    gpu: bool = False

    def run(  # noqa: D102
        self, folder: Path, numbers: Iterable[int], waiting: Callable[[], object]
    ) -> Generator[Done[int, Summary]]:
        import ray

        mine = not ray.is_initialized()
        if mine:
            try:
                ray.init(
                    address=self.address, num_cpus=self.jobs if self.address is None else None, log_to_driver=False
                )
            except ConnectionError as error:
                raise ConfigError(
                    f"--ray {self.address}: there is no cluster of Ray ({str(error).splitlines()[0]})"
                ) from error
        try:
            yield from self._run(ray, folder.resolve(), iter(numbers), waiting)
        finally:
            if mine:
                ray.shutdown()

    def _run(
        self, ray: Any, folder: Path, numbers: Any, waiting: Callable[[], object]
    ) -> Generator[Done[int, Summary]]:
        # A worker that died is for `engines.run` to judge: Ray would try again without a word.
        options = {"num_cpus": 1, "num_gpus": int(self.gpu), "max_retries": 0}
        task = ray.remote(**options)(_shard)
        running: dict[Any, int] = {}
        try:
            while True:
                room = self.jobs or int(ray.cluster_resources().get("GPU" if self.gpu else "CPU", 1))
                ahead = room if self.jobs else AHEAD * room
                for number in islice(numbers, max(0, ahead - len(running))):
                    running[task.remote(str(folder), number)] = number
                if not running:
                    return
                ended, _ = ray.wait(list(running), num_returns=1, timeout=POLL_S)
                waiting()
                for reference in ended:
                    yield Done(running.pop(reference), _outcome(ray, reference))
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def _shard(folder: str, number: int) -> Summary:
    """What Ray runs: the shared function, with one thread, as Ray has it for other libraries (OMP_NUM_THREADS)."""
    import torch

    torch.set_num_threads(1)
    return Call(folder)(number)


def _outcome(ray: Any, reference: Any) -> Summary | Failure:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        return failure_of(error.cause if isinstance(error.cause, Exception) else error)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
        return Failure("crash", f"its process died ({_first(error)})")
    except ray.exceptions.RayError as error:  # a node that died, and what else is no matter of the shard
        return Failure("lost", _first(error))


def _first(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]
