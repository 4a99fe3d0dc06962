"""Processes that time one code each."""

import json
import os
import select
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
PATIENCE = 900.0  # seconds for one answer
THREADING = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


class WorkerError(RuntimeError):
    """A code could not do what it was asked, or its process is gone."""


class Worker:
    """A process that times one code, in the environment of that code; use it in a `with` statement.

    Args:
        code: name in `codes.CODES`.
        python: the interpreter of its environment.
        threads: for its arithmetic.
        checkpoint: in the code's own format; None is random weights.
        cache: a folder for what PyTorch compiles.

    Raises:
        WorkerError: if it cannot start; the message ends with what it printed last.
    """

    def __init__(
        self, code: str, python: Path | str, threads: int, checkpoint: str | None = None, cache: Path | None = None
    ) -> None:
        self.code = code
        self.said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed in `close`
        environment = os.environ | dict.fromkeys(THREADING, str(threads))
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        environment["CUDA_VISIBLE_DEVICES"] = ""  # this is about CPUs
        if cache is not None:
            environment["TORCHINDUCTOR_CACHE_DIR"] = str(cache)
        self.process = subprocess.Popen(
            [str(python), "-m", "benchmarks.speed.worker", code, *([checkpoint] if checkpoint else [])],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
        )
        try:
            self.versions = self._answer()
        except WorkerError:
            self.close()
            raise

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Have it do something.

        Args:
            do: a method of `worker.Bench`.
            **request: its arguments.

        Raises:
            WorkerError: if the code fails, dies, or takes longer than anybody has patience for. Afterwards `alive` says
                whether it can be asked again.
        """
        try:
            print(json.dumps({"do": do, **request}), file=self.process.stdin, flush=True)
        except (BrokenPipeError, ValueError) as error:
            raise WorkerError(self._obituary()) from error
        answer = self._answer()
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self.process.poll() is None

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.said):
            if stream is not None:
                with suppress(BrokenPipeError):  # what was written and never read
                    stream.close()

    def _answer(self) -> dict[str, Any]:
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        if not ready:
            self.process.kill()
            msg = f"no answer within {PATIENCE:.0f} s"
            raise WorkerError(msg)
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise WorkerError(self._obituary())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _obituary(self) -> str:
        """Why the process is gone."""
        status = self.process.wait()
        if status == -9:
            return "killed by the system, probably for lack of memory"
        self.said.seek(0)
        last = self.said.read().strip().splitlines()[-1:]
        return f"ended with status {status}: {''.join(last)}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
