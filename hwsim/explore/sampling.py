"""Which designs are looked at: all of a grid, a low-discrepancy sequence, or what Optuna's samplers ask for.

A sampler is asked for batches of designs that it has not asked for before and is told what became of them, in order.
What it asks depends on the space, the seed and the outcomes alone, never on how many workers there are or who is
first; so a run can be resumed by asking again.
"""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from hwsim.explore import SamplerName
from hwsim.explore.domain import Domain, Value
from hwsim.explore.evaluate import Outcome
from hwsim.explore.space import MAX_GRID, Params, Space
from hwsim.explore.store import key

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

#: Designs per generation of NSGA-II. Few, for a budget of some hundred evaluations: the front is taken from all that
#: was evaluated, so the population need not hold it, and more generations learn more.
POPULATION = 12
TPE_BATCH = 8  # designs that the tree-structured Parzen estimator proposes before it hears of their outcomes
#: Proposals in a row that may be known already before an unknown design is drawn instead.
REPEATS = 50
#: Draws from the low-discrepancy sequence that may be known already before the grid is walked.
DRAWS = 10_000
#: Violation of a design that cannot be built or mapped: worse than any broken constraint.
FAILED = 1e6
_PRIMES = tuple(n for n in range(2, 312) if all(n % k for k in range(2, math.isqrt(n) + 1)))  # one per parameter


class Sampler(Protocol):
    """Who decides which designs are looked at."""

    def ask(self, most: int) -> list[Params]:
        """Designs (free parameters) not asked for before, ``most`` at the most; none where the space is exhausted."""

    def tell(self, designs: Sequence[Params], outcomes: Sequence[Outcome]) -> None:
        """What became of all designs of the last batch."""


class Grid:
    """Every design, in order."""

    def __init__(self, space: Space) -> None:
        self._designs = space.grid()

    def ask(self, most: int) -> list[Params]:
        """See `Sampler`."""
        return list(itertools.islice(self._designs, most))

    def tell(self, designs: Sequence[Params], outcomes: Sequence[Outcome]) -> None:
        """Nothing to learn."""


def halton(dimensions: int, seed: int) -> Iterator[tuple[float, ...]]:
    """Points of a Halton sequence in [0, 1)^dimensions, digits permuted and shifted at random by the seed.

    Halton (1960), "On the efficiency of certain quasi-random sequences of points in evaluating multi-dimensional
    integrals"; the permutations (scrambling) break the correlation of neighbouring large bases.
    """
    source = random.Random(seed)
    bases = _PRIMES[:dimensions]
    permutations = [[0, *source.sample(range(1, base), base - 1)] for base in bases]
    shifts = [source.random() for _ in bases]
    for index in itertools.count(1):
        yield tuple(
            (_radical_inverse(index, base, digits) + shift) % 1.0
            for base, digits, shift in zip(bases, permutations, shifts, strict=True)
        )


def _radical_inverse(index: int, base: int, digits: Sequence[int]) -> float:
    value, scale = 0.0, 1.0 / base
    while index:
        index, digit = divmod(index, base)
        value += digits[digit] * scale
        scale /= base
    return value


class LowDiscrepancy:
    """Designs spread evenly over the space; one that was drawn before is passed over."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._points = halton(len(space.domains), seed)
        self._rest: Iterator[Params] | None = None
        self.seen: set[str] = set()

    def ask(self, most: int) -> list[Params]:
        """See `Sampler`."""
        out: list[Params] = []
        while len(out) < most:
            design = self.draw()
            if design is None:
                break
            out.append(design)
        return out

    def draw(self) -> Params | None:
        """One design that is not in ``seen``, which it joins; None where there is none."""
        domains = self._space.domains
        if len(self.seen) >= self._space.grid_size:
            return None
        for _ in range(DRAWS):
            point = next(self._points)
            design = {d.name: d.at(share) for d, share in zip(domains, point, strict=True)}
            if self._take(design):
                return design
        if self._space.grid_size > MAX_GRID:
            return None
        self._rest = self._rest or self._space.grid()
        return next((design for design in self._rest if self._take(design)), None)

    def _take(self, design: Params) -> bool:
        name = key(design)
        if name in self.seen:
            return False
        self.seen.add(name)
        return True

    def tell(self, designs: Sequence[Params], outcomes: Sequence[Outcome]) -> None:
        """Nothing to learn."""


class Optuna:
    """One of Optuna's samplers, in batches of a fixed size that start from a low-discrepancy sample.

    A design that was proposed before teaches nothing: the proposal is withdrawn and the sampler asked again; where
    it has nothing new to propose, an unknown design is drawn instead.
    """

    def __init__(self, space: Space, sampler: BaseSampler, batch: int, seed: int) -> None:
        import optuna
        from optuna.study import StudyDirection

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = space
        self._batch = batch
        self._spread = LowDiscrepancy(space, seed)
        self._distributions = {d.name: _distribution(d) for d in space.domains}
        ways = {"minimise": StudyDirection.MINIMIZE, "maximise": StudyDirection.MAXIMIZE}
        self._study = optuna.create_study(directions=[ways[x.direction] for x in space.objectives], sampler=sampler)
        self._asked: list[Trial] = []
        self._started = False

    def ask(self, most: int) -> list[Params]:
        """See `Sampler`."""
        out: list[Params] = []
        while len(out) < min(self._batch, most):
            design = self._propose() if self._started else self._draw()
            if design is None:
                break
            out.append(design)
        self._started = True
        return out

    def _propose(self) -> Params | None:
        for _ in range(REPEATS):
            trial = self._ask()
            design = {d.name: _decoded(d, trial.params[d.name]) for d in self._space.domains}
            if key(design) not in self._spread.seen:
                self._spread.seen.add(key(design))
                self._asked.append(trial)
                return design
            self._withdraw(trial)
        return self._draw()

    def _draw(self) -> Params | None:
        """An unknown design, entered as if the sampler had proposed it."""
        design = self._spread.draw()
        if design is not None:
            self._study.enqueue_trial({d.name: _encoded(d, design[d.name]) for d in self._space.domains})
            self._asked.append(self._ask())
        return design

    def _ask(self) -> Trial:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._study.ask(self._distributions)

    def _withdraw(self, trial: Trial) -> None:
        from optuna.trial import TrialState

        self._study.tell(trial, state=TrialState.FAIL)

    def tell(self, designs: Sequence[Params], outcomes: Sequence[Outcome]) -> None:
        """See `Sampler`."""
        for trial, outcome in zip(self._asked, outcomes, strict=True):
            complete = outcome.state == "complete"
            broken = FAILED if outcome.state == "failed" else outcome.violation
            trial.set_constraint("broken", 0.0 if complete else broken)
            worst = [math.inf * sign for sign in self._space.signs]
            self._study.tell(trial, list(outcome.objectives.values()) if complete else worst)
        self._asked = []


def _distribution(domain: Domain) -> BaseDistribution:
    from optuna import distributions

    if domain.values is None:
        return distributions.FloatDistribution(domain.low, domain.high, log=domain.log)
    if not domain.indexed:
        return distributions.IntDistribution(int(domain.values[0]), int(domain.values[-1]), log=True)
    if domain.ordered:
        return distributions.IntDistribution(0, len(domain.values) - 1)
    return distributions.CategoricalDistribution(tuple(range(len(domain.values))))


def _decoded(domain: Domain, raw: Any) -> Value:
    """The value that a number of Optuna's stands for."""
    value: Value = domain.values[raw] if domain.values is not None and domain.indexed else raw
    return value


def _encoded(domain: Domain, value: Value) -> Any:
    return domain.values.index(value) if domain.values is not None and domain.indexed else value


def make_sampler(space: Space, name: SamplerName, seed: int) -> Sampler:
    """A sampler by name; ``seed`` decides everything random."""
    if name == SamplerName.qmc:
        return LowDiscrepancy(space, seed)
    from optuna import samplers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is new in Optuna is marked experimental
        if name == SamplerName.tpe:
            sampler: BaseSampler = samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=2 * TPE_BATCH)
            return Optuna(space, sampler, TPE_BATCH, seed)
        return Optuna(space, _nsga2(space, seed), POPULATION, seed)


def _nsga2(space: Space, seed: int) -> BaseSampler:
    """NSGA-II with the mutation of its authors (Deb et al. 2002): a step to a near value rather than to any.

    Parameters here are mostly short scales of numbers, on which many small steps round back to where they were. So
    steps are drawn wider than for real numbers (index 5 instead of 20), and two parameters mutate on average, not one.
    """
    from optuna.samplers import NSGAIISampler
    from optuna.samplers.nsgaii import PolynomialMutation

    return NSGAIISampler(
        population_size=POPULATION,
        mutation=PolynomialMutation(eta=5),
        mutation_prob=min(1.0, 2 / len(space.domains)),
        seed=seed,
    )
