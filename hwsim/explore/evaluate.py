"""One design: from its parameters to figures, constraints and objectives."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from hwsim import rubric as rubrics
from hwsim.cost import NetworkCost
from hwsim.design.load import build_design, load_design, read_architecture
from hwsim.design.settings import Setting
from hwsim.errors import HwsimError
from hwsim.explore.domain import Value
from hwsim.explore.formula import Comparison, Formula
from hwsim.explore.space import Model, Params, Space, read_space
from hwsim.explore.weighted import Costs, Networks
from hwsim.figure import Source, explored
from hwsim.hardware import Design
from hwsim.network import Hints, profile_workload
from hwsim.provenance import file_sha256
from hwsim.rubric import read_accuracy
from hwsim.spec.document import Field
from hwsim.whatif import price_note
from hwsim.workloads import zoo
from hwsim.workloads.onnx.reader import read_onnx
from hwsim.workloads.workload import Workload

State = Literal["complete", "infeasible", "failed"]
#: Networks that a worker keeps; with model parameters in the space there are many.
KEPT_WORKLOADS = 64


@dataclass(frozen=True)
class Outcome:
    """What became of one design; plain data, as it goes into the store and over the network.

    Attributes:
        state: ``complete``; ``infeasible`` where a constraint is broken; ``failed`` where it cannot be built or
            some layer fits no mapping.
        params: all parameters, tied ones too.
        figures: those that were computed, in the units of `hwsim.figure.FIGURES`.
        objectives: name → value; empty unless complete.
        violation: sum over the broken constraints of by how much, as a share; 0 unless infeasible.
        reason: why it is infeasible or failed.
    """

    state: State
    params: Params
    figures: dict[str, float] = field(default_factory=dict)
    objectives: dict[str, float] = field(default_factory=dict)
    violation: float = 0.0
    reason: str | None = None


@dataclass(frozen=True)
class Job:
    """All that evaluating designs needs, as plain data that can travel.

    Attributes:
        space: content of the space file; ``file`` is its name.
        arch / arch_text: the architecture's file and its text.
        files: model → its ONNX file, where the model is one.
        hashes: model → SHA-256 of that file, as it was when the run began.
        contents: model → the file's bytes, where workers may not see the file.
    """

    file: str
    space: dict[str, Any]
    arch: str
    arch_text: str
    files: dict[str, str]
    hashes: dict[str, str]
    contents: dict[str, bytes] = field(default_factory=dict)


class _Violated(Exception):
    """A constraint is broken: nothing further needs to be computed."""


class Evaluator:
    """Evaluates designs of one space; keeps what they have in common."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.space: Space = read_space(Field(job.space, job.file))
        self.document = read_architecture(job.arch, job.arch_text)
        self._workloads: OrderedDict[tuple[Any, ...], Workload] = OrderedDict()
        self._hints = Hints()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __call__(self, free: Mapping[str, Value]) -> Outcome:
        """Outcome of the design with these free parameters; never raises for what is a design's own fault.

        Raises:
            HwsimError: something else is wrong (a file is gone or changed, the disk is full), and says nothing about
                the design.
        """
        params: Params = dict(free)
        state = _Progress(self.space)
        try:
            params = self.space.complete(free)
            state.names.update(params)
            return self._evaluate(params, state)
        except _Violated:
            return Outcome("infeasible", params, state.figures, {}, state.violation, "; ".join(state.broken))
        except HwsimError as error:
            if _of_the_machine(error):
                raise
            return Outcome("failed", params, state.figures, {}, 0.0, str(error))

    def _evaluate(self, params: Params, state: _Progress) -> Outcome:
        """In stages, cheapest first; every constraint is checked as soon as all that it reads is known."""
        state.learn({})
        design = self.design(params)
        state.learn(figures("hardware", design))
        models = self.space.content.models
        workloads = [self.workload(k, model, params) for k, model in enumerate(models)]
        weights = [model.weight for model in models]
        accuracies = [self._accuracy(workload, params) for workload in workloads]
        networks = (workloads, weights, accuracies)
        state.learn(figures("network", Networks(*networks)))
        objective = self.space.content.mapping_objective
        costs = [profile_workload(workload, design, objective, hints=self._hints) for workload in workloads]
        points = self._points(design, costs, weights, accuracies)
        state.learn(figures("mapping", Costs(*networks, costs, design, points)))
        objectives = {
            x.name: formula.number(state.names)
            for x, formula in zip(self.space.objectives, self.space.objective_formulas, strict=True)
        }
        return Outcome("complete", params, state.figures, objectives)

    def settings(self, params: Params) -> list[Setting]:
        """The changes to the architecture that parameters drive."""
        return [Setting(component, name, f.value(params)) for (component, name), f in self.space.settings.items()]

    def design(self, params: Params) -> Design:
        """The changed architecture, priced by hwsim's own estimators whatever table comes with it."""
        return build_design(self.document, self.settings(params), own_prices=True)

    def price_notes(self) -> tuple[str, ...]:
        """What to say where the designs' prices are not those of the architecture as it is.

        With networks that parameters shape there is no one cost of the design as it is.
        """
        design = load_design(self.job.arch, own_prices=True)

        def unchanged() -> NetworkCost | None:
            try:
                workloads = [self.workload(k, model, {}) for k, model in enumerate(self.space.content.models)]
                return profile_workload(workloads[0], design, self.space.content.mapping_objective)
            except HwsimError:
                return None

        return price_note(design, unchanged)

    def workload(self, index: int, model: Model, params: Params) -> Workload:
        """The network of a model with the sizes and arguments that parameters give it."""
        where = f"{self.space.file}: models[{index}]"
        dims = {k: _whole(Formula(v, f"{where}.dims.{k}"), params) for k, v in model.dims.items()}
        given = {k: Formula(v, f"{where}.arguments.{k}").value(params) for k, v in model.arguments.items()}
        key = (index, *sorted(dims.items()), *sorted(given.items()))
        if key not in self._workloads:
            self._workloads[key] = self._read(model.model, dims, given, where)
            if len(self._workloads) > KEPT_WORKLOADS:
                self._workloads.popitem(last=False)
        self._workloads.move_to_end(key)
        return self._workloads[key]

    def _read(self, model: str, dims: dict[str, int], given: dict[str, Any], where: str) -> Workload:
        try:
            if model not in self.job.files:
                name, fixed = zoo.split_name(model.removeprefix("zoo:"))
                with tempfile.TemporaryDirectory() as folder:
                    return read_onnx(zoo.write(name, Path(folder) / f"{name}.onnx", fixed | given), dims)
            if given:
                raise HwsimError("arguments are for networks of the zoo; an ONNX file is what it is.")
            return read_onnx(self._file(model), dims)
        except HwsimError as error:
            raise HwsimError(str(error), where=where) from error

    def _file(self, model: str) -> Path:
        """The ONNX file, written from the job where it came over the network."""
        path = Path(self.job.files[model])
        if model not in self.job.contents:
            if file_sha256(path) != self.job.hashes[model]:
                raise HwsimError("the file changed while it was explored.", where=str(path)) from OSError()
            return path
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory()
        local = Path(self._folder.name) / f"{list(self.job.contents).index(model)}_{path.name}"
        if not local.exists():
            local.write_bytes(self.job.contents[model])
        return local

    def _accuracy(self, workload: Workload, params: Params) -> Decimal | None:
        """Accuracy of a network: by the space's formula, or as its file says; None where neither does."""
        given = self.space.accuracy
        if given is not None:
            return read_accuracy(str(given.value(params)), given.where)
        stated = workload.metadata.get("test_accuracy")
        return None if stated is None else read_accuracy(stated, f"{workload.name}: metadata test_accuracy")

    def _points(
        self,
        design: Design,
        costs: Sequence[NetworkCost],
        weights: Sequence[float],
        accuracies: Sequence[Decimal | None],
    ) -> float | None:
        """The weighted mean of the models' points; None without a rubric."""
        choice = self.space.content.rubric
        if choice is None:
            return None
        rubric = rubrics.load_rubric(choice.name)
        points = 0.0
        for cost, weight, accuracy in zip(costs, weights, accuracies, strict=True):
            workload = cost.workload
            if choice.dataset is not None:
                workload = replace(workload, metadata=workload.metadata | {"dataset": choice.dataset})
            facts = rubrics.Facts(accuracy, "", workload, cost, {}, design)
            points += weight * float(rubrics.grade(rubric, facts).points)
        return points / sum(weights)


class _Progress:
    """What is known of one design so far, and the constraints that it breaks."""

    def __init__(self, space: Space) -> None:
        self.names: dict[str, Any] = {}
        self.figures: dict[str, float] = {}
        self.open: list[Comparison] = list(space.comparisons)
        self.violation = 0.0
        self.broken: list[str] = []

    def learn(self, figures: Mapping[str, float]) -> None:
        """Take figures in and check the constraints that can now be checked; raises `_Violated`."""
        self.figures.update(figures)
        self.names.update(figures)
        ready = [c for c in self.open if c.names <= self.names.keys()]
        self.open = [c for c in self.open if not c.names <= self.names.keys()]
        for comparison in ready:
            violation = comparison.violation(self.names)
            if violation > 0:
                self.violation += violation
                self.broken.append(
                    f"{comparison.text} does not hold: {comparison.left.number(self.names):.6g}, "
                    f"{comparison.right.number(self.names):.6g}"
                )
        if self.broken:
            raise _Violated


def _of_the_machine(error: BaseException | None) -> bool:
    """Whether an error comes from the system."""
    return error is not None and (isinstance(error, OSError) or _of_the_machine(error.__cause__))


def _whole(formula: Formula, params: Params) -> int:
    value = formula.number(params)
    if value != int(value):
        raise HwsimError(f"expected a whole number, found {value}.", where=formula.where)
    return int(value)


def figures(known_from: Source, subject: Any) -> dict[str, float]:
    """The figures of a subject (see `hwsim.figure.Figure.of`); those that it does not tell are left out."""
    values = {name: x.of(subject) for name, x in explored().items() if x.known_from == known_from}
    return {name: value for name, value in values.items() if value is not None and not isinstance(value, Decimal)}
