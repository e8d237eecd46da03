"""Who evaluates designs: processes of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol

from hwsim import processes, warm
from hwsim.deadline import NEVER, Deadline
from hwsim.errors import HwsimError
from hwsim.explore.evaluate import Evaluator, Job, Outcome
from hwsim.explore.space import Params

IN_FLIGHT = 2  # designs per worker that wait at its door
MAX_DEATHS = 3  # of workers without a result in between


class Workers(Protocol):
    """Whoever evaluates designs."""

    def evaluate(self, designs: Sequence[Params]) -> Iterator[tuple[int, Outcome]]:
        """(index, outcome) of every design, as they finish.

        Raises:
            OutOfTime: the workers' deadline has passed.
        """

    def close(self) -> None:
        """End what is still running."""


class InProcess:
    """This process evaluates, one design after the other."""

    def __init__(self, job: Job) -> None:
        self._evaluator = Evaluator(job)

    def evaluate(self, designs: Sequence[Params]) -> Iterator[tuple[int, Outcome]]:
        """See `Workers`."""
        for index, design in enumerate(designs):
            yield index, self._evaluator(design)

    def close(self) -> None:
        """Nothing is running."""


class Processes:
    """Processes of this machine, started when the first design comes.

    A process that dies (out of memory, killed) is replaced and its designs are evaluated again.
    """

    def __init__(self, job: Job, count: int, deadline: Deadline = NEVER) -> None:
        self._job = job
        self._count = count
        self._deadline = deadline
        self._pool: ProcessPoolExecutor | None = None

    def evaluate(self, designs: Sequence[Params]) -> Iterator[tuple[int, Outcome]]:
        """See `Workers`.

        Raises:
            HwsimError: processes keep dying.
            OutOfTime: the deadline has passed.
        """
        todo = list(reversed(range(len(designs))))
        flying: dict[Future[Outcome], int] = {}
        deaths = 0
        while todo or flying:
            try:
                while todo and len(flying) < IN_FLIGHT * self._count:
                    future = self._started().submit(_evaluate, designs[todo[-1]])
                    flying[future] = todo.pop()
                self._deadline.check()
                done, _ = wait(flying, timeout=self._deadline.left(), return_when=FIRST_COMPLETED)
                for future in sorted(done, key=lambda f: flying[f]):
                    outcome = future.result()
                    deaths = 0
                    yield flying.pop(future), outcome
            except BrokenProcessPool as error:
                deaths += 1
                if deaths >= MAX_DEATHS:
                    raise HwsimError(
                        f"{deaths} times in a row a worker died before it finished a design; is there enough memory?",
                        where="workers",
                    ) from error
                self.close()
                todo = sorted({*todo, *flying.values()}, reverse=True)
                flying = {}

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            warm.compile_all()
            self._pool = processes.start_pool(self._count, _start, (self._job,), "spawn")
        return self._pool

    def close(self) -> None:
        """End the processes, whatever they are at."""
        if self._pool is not None:
            processes.end_pool(self._pool)
            self._pool = None


_evaluator: Evaluator | None = None


def _start(job: Job) -> None:
    """In a new worker."""
    global _evaluator  # noqa: PLW0603 (one per process, set once)
    _evaluator = Evaluator(job)


def _evaluate(design: Params) -> Outcome:
    assert _evaluator is not None
    return _evaluator(design)
