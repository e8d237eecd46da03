"""Explore a space: ask the sampler, evaluate what is not known, keep every outcome, tell the sampler."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hwsim.deadline import OutOfTime
from hwsim.explore.evaluate import Outcome
from hwsim.explore.front import Box, Points, history, on_front
from hwsim.explore.sampling import Sampler
from hwsim.explore.space import Params, Space
from hwsim.explore.store import Store
from hwsim.explore.workers import Workers

TELL_SECONDS = 0.2  # between two reports


@dataclass(frozen=True)
class Trial:
    """A design that was looked at: its number in the sampler's order, its parameters and what became of it."""

    number: int
    outcome: Outcome


@dataclass(frozen=True)
class Exploration:
    """What is known at the end, or so far.

    Attributes:
        trials: in the sampler's order; distinct designs.
        evaluated: of them, those that were evaluated now; the others were in the store.
        wanted: trials asked for.
        seconds: spent.
        ended: why the run was ended early: ``interrupted`` or ``out of time``; empty where it was not.
        notes: what the reader should know.
    """

    space: Space
    trials: tuple[Trial, ...]
    evaluated: int
    wanted: int
    seconds: float
    ended: str = ""
    notes: tuple[str, ...] = ()

    @cached_property
    def complete(self) -> tuple[Trial, ...]:
        """Trials that have objectives."""
        return tuple(t for t in self.trials if t.outcome.state == "complete")

    def count(self, state: str) -> int:
        """Trials in a state."""
        return sum(t.outcome.state == state for t in self.trials)

    @cached_property
    def points(self) -> Points:
        """(complete trials, objectives), all to be minimised: maximised ones with the other sign."""
        names = [x.name for x in self.space.objectives]
        rows = [[t.outcome.objectives[n] for n in names] for t in self.complete]
        values: Points = np.array(rows, np.float64).reshape(len(rows), len(names)) * np.array(self.space.signs)
        return values

    @cached_property
    def front(self) -> tuple[Trial, ...]:
        """Trials that no other dominates, sorted by their parameters."""
        chosen = [t for t, kept in zip(self.complete, on_front(self.points), strict=True) if kept]
        return tuple(sorted(chosen, key=lambda t: [_order(v) for v in t.outcome.params.values()]))

    @cached_property
    def box(self) -> Box | None:
        """What hypervolumes are measured in; None where no design is complete."""
        return Box.around(self.points[on_front(self.points)]) if len(self.points) else None

    @cached_property
    def hypervolume(self) -> list[tuple[int, float]]:
        """(trials so far, hypervolume in `box`) whenever it grew."""
        if self.box is None:
            return []
        return history(self.points, [t.number for t in self.complete], self.box)


def _order(value: object) -> tuple[int, float, str]:
    """Numbers by size, before words by alphabet."""
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, str(value))


Tell = Callable[[Exploration], None]


class _Run:
    """One run: trials by number as they become known."""

    def __init__(self, space: Space, store: Store, workers: Workers, wanted: int, tell: Tell | None) -> None:
        self.space = space
        self.store = store
        self.workers = workers
        self.wanted = wanted
        self.tell = tell
        self.trials: dict[int, Trial] = {}
        self.evaluated = 0
        self.told = 0.0
        self.started = time.perf_counter()

    def so_far(self, ended: str = "") -> Exploration:
        """What is known."""
        trials = tuple(self.trials[k] for k in sorted(self.trials))
        seconds = time.perf_counter() - self.started
        return Exploration(self.space, trials, self.evaluated, self.wanted, seconds, ended)

    def batch(self, designs: list[Params], first: int) -> list[Outcome]:
        """Outcomes of a batch of designs, in order; unknown ones are evaluated and kept."""
        outcomes: dict[int, Outcome] = {}
        for k, design in enumerate(designs):
            known = self.store.get(design)
            if known is not None:
                outcomes[k] = known
                self.trials[first + k] = Trial(first + k, known)
        unknown = [k for k in range(len(designs)) if k not in outcomes]
        self.report()
        for index, outcome in self.workers.evaluate([designs[k] for k in unknown]):
            k = unknown[index]
            self.store.put(designs[k], outcome)
            outcomes[k] = outcome
            self.trials[first + k] = Trial(first + k, outcome)
            self.evaluated += 1
            self.report()
        return [outcomes[k] for k in range(len(designs))]

    def report(self) -> None:
        """Tell how far it is."""
        now = time.perf_counter()
        if self.tell is not None and now - self.told >= TELL_SECONDS:
            self.told = now
            self.tell(self.so_far())


def explore(
    space: Space, store: Store, sampler: Sampler, workers: Workers, wanted: int, *, tell: Tell | None = None
) -> Exploration:
    """Look at ``wanted`` distinct designs, or at all where there are fewer.

    Outcomes in the store are not computed again. The result depends on the space, the sampler, its seed and
    ``wanted`` alone: not on the workers, nor on how often the run was interrupted and resumed.

    Args:
        tell: called with what is known so far whenever that grows.

    Returns:
        what was found; ended by Ctrl-C or the workers' deadline, what was found until then (``ended`` set).

    Raises:
        HwsimError: the store cannot be written, or workers keep dying; what was found is in the store.
    """
    run = _Run(space, store, workers, wanted, tell)
    asked = 0
    try:
        while asked < wanted:
            designs = sampler.ask(wanted - asked)
            if not designs:
                break
            sampler.tell(designs, run.batch(designs, asked))
            asked += len(designs)
    except KeyboardInterrupt:
        return run.so_far("interrupted")
    except OutOfTime:
        return run.so_far("out of time")
    finally:
        workers.close()
    return run.so_far()
