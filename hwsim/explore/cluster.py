"""Designs evaluated by the workers of a Dask cluster.

What travels is plain data: the job (`Job`) once to each worker, also to those that join later; a design's parameters
there, its outcome back. A worker that is lost costs the designs that it was working on; the scheduler gives them to
another. Dask itself trusts everyone who can reach the scheduler: a cluster belongs in a network of its own, or behind
TLS (an address that starts with ``tls://``, with Dask's own configuration of certificates).
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hwsim.deadline import NEVER, Deadline
from hwsim.errors import HwsimError
from hwsim.explore.evaluate import Evaluator, Job, Outcome
from hwsim.explore.space import Params
from hwsim.provenance import version

try:
    import distributed
except ImportError as error:
    raise HwsimError(
        "a cluster needs dask.distributed, which is not installed: pip install 'hwsim[cluster]'.", where="--scheduler"
    ) from error

CONNECT_SECONDS = 15.0
POLL_SECONDS = 2.0  # how soon a worker that joined gets designs
IN_FLIGHT = 2  # designs per thread of the cluster
MAX_LOSSES = 5  # of workers under one design
MAX_MODEL_BYTES = 64 * 2**20

_jobs: dict[str, Job] = {}
_evaluators: dict[str, Evaluator] = {}
_lock = threading.Lock()  # a worker may have threads; evaluators and numba's kernels are used by one at a time


class JobPlugin(distributed.WorkerPlugin):
    """Hands the job to every worker, now or when it joins."""

    def __init__(self, name: str, job: dict[str, Any], made_by: str) -> None:
        self.name = name
        self.job = job
        self.made_by = made_by

    def setup(self, worker: Any) -> None:
        """On the worker."""
        if self.made_by != version():
            raise RuntimeError(f"the worker has hwsim {version()}, this run needs {self.made_by}")
        _jobs[self.name] = Job(**self.job)


def _evaluate(name: str, free: Params) -> dict[str, Any]:
    """On a worker: the outcome of one design as plain data."""
    with _lock:
        if name not in _evaluators:
            _evaluators[name] = Evaluator(_jobs[name])
        return asdict(_evaluators[name](free))


class Cluster:
    """The workers of a Dask scheduler."""

    def __init__(self, job: Job, address: str, deadline: Deadline = NEVER) -> None:
        """Connect.

        Args:
            deadline: when no outcome is waited for any more.

        Raises:
            HwsimError: there is no scheduler at the address, or a model is too large to send.
        """
        self._address = address
        self._deadline = deadline
        data = asdict(_with_contents(job))
        try:
            self._client: Any = distributed.Client(  # type: ignore[no-untyped-call]
                address, timeout=CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, ValueError, TimeoutError) as error:
            raise HwsimError(f"no Dask scheduler answers: {error}.", where=f"--scheduler {address}") from error
        self._name = "hwsim-" + hashlib.sha256(repr(sorted(data.items())).encode()).hexdigest()[:16]
        try:
            self._client.register_plugin(JobPlugin(self._name, data, version()))
        except Exception as error:  # whatever went wrong on the worker: no hwsim there, another version …
            self._client.close()  # type: ignore[no-untyped-call]
            raise HwsimError(f"a worker cannot take the job: {error}.", where=f"--scheduler {address}") from error

    def evaluate(self, designs: Sequence[Params]) -> Iterator[tuple[int, Outcome]]:
        """See `Workers`.

        Raises:
            HwsimError: the scheduler is lost, or one design's workers are lost again and again.
            OutOfTime: the deadline has passed.
        """
        todo = list(reversed(range(len(designs))))
        losses = [0] * len(designs)
        flying: dict[Any, int] = {}
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        try:
            while todo or flying:
                room = IN_FLIGHT * max(1, sum(self.threads().values())) - len(flying)
                for _ in range(min(room, len(todo))):
                    index = todo.pop()
                    future: Any = self._client.submit(_evaluate, self._name, designs[index], pure=False)
                    flying[future] = index
                    future.add_done_callback(done.put)
                try:
                    self._deadline.check()
                    left = self._deadline.left()
                    future = done.get(timeout=POLL_SECONDS if left is None else min(POLL_SECONDS, left))
                except queue.Empty:
                    continue
                index = flying.pop(future)
                outcome = self._outcome(future)
                if outcome is not None:
                    yield index, outcome
                    continue
                losses[index] += 1
                if losses[index] == MAX_LOSSES:
                    raise HwsimError(
                        f"the design {designs[index]} lost its worker {MAX_LOSSES} times; is there enough memory?",
                        where=f"--scheduler {self._address}",
                    )
                todo.append(index)
        except (OSError, TimeoutError) as error:
            raise HwsimError(f"the Dask scheduler is lost: {error}.", where=f"--scheduler {self._address}") from error
        finally:
            self._client.cancel(list(flying))

    def threads(self) -> dict[str, int]:
        """Worker → threads, of those that are there now."""
        return dict(self._client.nthreads())

    def _outcome(self, future: Any) -> Outcome | None:
        """None where workers were lost under a design, so that it should be tried again."""
        try:
            return Outcome(**future.result())
        except (distributed.KilledWorker, distributed.CancelledError):
            return None

    def close(self) -> None:
        """Leave the cluster as it is, and take the job back."""
        self._client.close()


def _with_contents(job: Job) -> Job:
    """The job with the content of its ONNX files, which workers need not see."""
    contents = {}
    for name, file in job.files.items():
        size = Path(file).stat().st_size
        if size > MAX_MODEL_BYTES:
            raise HwsimError(
                f"{file} has {size:,} bytes; up to {MAX_MODEL_BYTES:,} are sent to a cluster. Export the model without "
                "its weights' values.",
                where="--scheduler",
            )
        contents[name] = Path(file).read_bytes()
    return replace(job, contents=contents)
