"""Faults of a space that show before any work starts: missing models, unknown components, constraints none can meet."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwsim import rubric as rubrics
from hwsim.design.load import find_architecture, read_architecture, shipped_architectures
from hwsim.design.settings import apply_settings
from hwsim.errors import HwsimError, did_you_mean
from hwsim.explore.evaluate import Evaluator, Job, figures
from hwsim.explore.formula import Comparison
from hwsim.explore.sampling import halton
from hwsim.explore.space import Params, Space
from hwsim.figure import explored
from hwsim.files import read_text
from hwsim.provenance import file_sha256, version
from hwsim.workloads import zoo

PROBES = 16  # designs looked at to tell a fault of the space from one of a design
MAX_ENUMERATED = 50_000  # combinations of parameters tried for constraints on parameters alone
MAX_BUILT = 64  # designs built and priced for constraints on the hardware alone


@dataclass(frozen=True)
class Prepared:
    """A space that can be explored.

    Attributes:
        job: what workers need.
        identity: all that decides a design's outcome, by name; what a store is tied to.
    """

    space: Space
    job: Job
    identity: dict[str, str]


def prepare(space: Space) -> Prepared:
    """Check a space against the files it names.

    Raises:
        HwsimError: a model or architecture is missing or cannot be read, a setting names no component, an argument
            is unknown, a constraint cannot be met; says which field.
    """
    job = _job(space)
    evaluator = Evaluator(job)
    probes = list(_probes(space))
    _check_contradictions(space)
    _check_parameters_alone(space)
    _check_hardware(space, evaluator, probes)
    _check_hardware_alone(space, evaluator)
    _check_networks(space, evaluator, probes)
    return Prepared(space, job, _identity(space, job))


def _job(space: Space) -> Job:
    folder = Path(space.file).parent
    arch = space.content.arch
    if arch not in shipped_architectures():
        beside = folder / arch
        try:
            path = find_architecture(beside if os.path.isfile(beside) else arch)
        except HwsimError as error:
            raise HwsimError(f"{arch}: {error.message}", where=f"{space.file}: arch") from error
        except (OSError, ValueError) as error:  # a name that no file can have
            raise HwsimError(f"no architecture of this name: {error}.", where=f"{space.file}: arch") from error
    else:
        path = find_architecture(arch)
    if not os.path.isfile(path):
        raise HwsimError(
            f"'{arch}' is no architecture that comes with hwsim, and not a file.", where=f"{space.file}: arch"
        )
    read_architecture(path)
    text = read_text(path)
    files = {}
    for k, model in enumerate(space.content.models):
        if not model.model.startswith("zoo:"):
            file = folder / model.model
            if not os.path.isfile(file):  # False also for names that no file can have
                raise HwsimError(f"no such model: {file}.", where=f"{space.file}: models[{k}].model")
            files[model.model] = str(file.resolve())
    content = space.content.model_dump(mode="json", exclude_defaults=True)
    hashes = {name: file_sha256(file) for name, file in files.items()}
    return Job(space.file, content, arch if arch in shipped_architectures() else str(path), text, files, hashes)


def _identity(space: Space, job: Job) -> dict[str, str]:
    """By part, so that a store of another space can say what differs."""
    content = space.content.model_dump(mode="json")
    parts = {name: json.dumps(value, sort_keys=True) for name, value in content.items() if name != "title"}
    parts["architecture file"] = hashlib.sha256(job.arch_text.encode()).hexdigest()
    for name, sha256 in job.hashes.items():
        parts[f"model {name}"] = sha256
    if space.content.rubric is not None:
        parts["rubric file"] = file_sha256(rubrics.rubric_file(space.content.rubric.name))
    parts["hwsim"] = version()
    return parts


def _probes(space: Space) -> Iterator[Params]:
    """Designs spread over the space: the corners' diagonal first, then a Halton sequence."""
    for share in (0.0, 0.5, 1 - 1e-9):
        yield {d.name: d.at(share) for d in space.domains}
    for point in itertools.islice(halton(len(space.domains), seed=0), PROBES - 3):
        yield {d.name: d.at(share) for d, share in zip(space.domains, point, strict=True)}


# --- hardware and networks ------------------------------------------------------------


def _check_hardware(space: Space, evaluator: Evaluator, probes: Sequence[Params]) -> None:
    """Settings should name components, and some design should be possible."""
    first: HwsimError | None = None
    for free in probes:
        try:
            settings = evaluator.settings(space.complete(free))
        except HwsimError as error:
            first = first or error
            continue
        for setting in settings:
            where = f"{space.file}: settings.{setting.component}.{setting.name}"
            try:
                apply_settings(evaluator.document, [setting])
            except HwsimError as error:
                raise HwsimError(error.message, where=where) from error
        try:
            evaluator.design(space.complete(free))
        except HwsimError as error:
            first = first or error
            continue
        return
    assert first is not None
    raise HwsimError(f"none of {len(probes)} designs tried can be built: {first}", where=f"{space.file}: settings")


def _check_networks(space: Space, evaluator: Evaluator, probes: Sequence[Params]) -> None:
    if space.content.rubric is not None:
        try:
            rubrics.load_rubric(space.content.rubric.name)
        except HwsimError as error:
            raise HwsimError(str(error), where=f"{space.file}: rubric") from error
    for k, model in enumerate(space.content.models):
        _check_zoo(space, k)
        first: HwsimError | None = None
        for free in probes:
            try:
                evaluator.workload(k, model, space.complete(free))
            except HwsimError as error:
                first = first or error
                continue
            break
        else:
            assert first is not None
            raise first
    _check_accuracy(space, evaluator, probes)


def _check_accuracy(space: Space, evaluator: Evaluator, probes: Sequence[Params]) -> None:
    """Somebody should say it where it is asked for."""
    if "accuracy" not in space.asked_for or space.accuracy is not None:
        return
    for k, model in enumerate(space.content.models):
        if model.model.startswith("zoo:"):
            raise HwsimError(
                "accuracy is asked for, and networks of the zoo have none: add 'accuracy: FORMULA' of the parameters.",
                where=f"{space.file}: models[{k}]",
            )
        workload = evaluator.workload(k, model, space.complete(probes[0]))
        if "test_accuracy" not in workload.metadata:
            raise HwsimError(
                "accuracy is asked for, and the file's metadata (test_accuracy) says none: add 'accuracy: FORMULA'.",
                where=f"{space.file}: models[{k}]",
            )


def _check_zoo(space: Space, index: int) -> None:
    """Name and arguments of a model of the zoo, before values are asked for."""
    model = space.content.models[index]
    if not model.model.startswith("zoo:"):
        return
    where = f"{space.file}: models[{index}]"
    try:
        name, _ = zoo.split_name(model.model.removeprefix("zoo:"))
        known = zoo.arguments_of(name)
    except HwsimError as error:
        raise HwsimError(error.message, where=f"{where}.model") from error
    for argument in model.arguments:
        if argument not in known:
            hint = did_you_mean(argument, known) if known else " It takes none."
            raise HwsimError(f"'{name}' has no argument '{argument}'.{hint}", where=f"{where}.arguments.{argument}")


# --- constraints ----------------------------------------------------------------------


@dataclass(frozen=True)
class _End:
    """One end of the interval that a constraint, or a figure's nature, leaves to an expression."""

    value: float
    strict: bool
    comparison: Comparison | None = None


def _check_contradictions(space: Space) -> None:
    """Bounds on the same expression should leave something between them, and figures their natural range."""
    lower: dict[str, list[_End]] = {}
    upper: dict[str, list[_End]] = {}
    for name, figure in explored().items():
        lower[name], upper[name] = [_End(0.0, False)], [_End(figure.most, False)]
    for comparison in space.comparisons:
        bounded = _bound(comparison)
        if bounded is None:
            continue
        text, sign, value = bounded
        side = lower if sign[0] == ">" else upper
        side.setdefault(text, []).append(_End(value, sign in ("<", ">"), comparison))
    for text in lower.keys() & upper.keys():
        for low, high in itertools.product(lower[text], upper[text]):
            if low.value > high.value or (low.value == high.value and (low.strict or high.strict)):
                raise _contradiction(text, low, high)


def _contradiction(text: str, low: _End, high: _End) -> HwsimError:
    if low.comparison is not None and high.comparison is not None:
        message = f"'{low.comparison.text}' contradicts '{high.comparison.text}' ({high.comparison.where})"
        return HwsimError(f"{message}; no design meets both.", where=low.comparison.where)
    asked = low.comparison or high.comparison
    assert asked is not None
    nature = f"never above {high.value:g}" if low.comparison else f"never below {low.value:g}"
    return HwsimError(f"no design can meet '{asked.text}': {text} is {nature}.", where=asked.where)


def _bound(comparison: Comparison) -> tuple[str, str, float] | None:
    """(expression, sign, number) where one side is a number."""
    turned = {"<=": ">=", "<": ">", ">=": "<=", ">": "<"}
    if not comparison.right.names and comparison.left.names:
        return str(comparison.left.text), comparison.sign, comparison.right.number({})
    if not comparison.left.names and comparison.right.names:
        return str(comparison.right.text), turned[comparison.sign], comparison.left.number({})
    return None


def _check_parameters_alone(space: Space) -> None:
    """Constraints that read no figure should hold for some design of the space."""
    alone = [c for c in space.comparisons if not c.names & explored().keys()]
    if not alone:
        return
    needed = set().union(*(c.names for c in alone))
    while True:  # parameters that tied ones read
        more = set().union(*(space.tied[n].names for n in needed if n in space.tied)) - needed
        if not more:
            break
        needed |= more
    domains = [d for d in space.domains if d.name in needed]
    if math.prod(d.size for d in domains) > MAX_ENUMERATED:
        return
    rest = {d.name: d.at(0.0) for d in space.domains}
    for values in itertools.product(*(d.values or () for d in domains)):
        try:
            names = space.complete(rest | dict(zip((d.name for d in domains), values, strict=True)))
            if all(c.violation(names) == 0 for c in alone):
                return
        except HwsimError:
            continue
    listed = ", ".join(f"'{c.text}'" for c in alone)
    raise HwsimError(f"no design of the space meets {listed}.", where=alone[0].where)


def _check_hardware_alone(space: Space, evaluator: Evaluator) -> None:
    """Constraints that read the hardware's figures alone should hold for some design, where few have to be built."""
    known = {name for name, figure in explored().items() if figure.known_from == "hardware"} | set(
        space.content.parameters
    )
    alone = [c for c in space.comparisons if c.names <= known and c.names & explored().keys()]
    if not alone or space.grid_size > MAX_BUILT:
        return
    for free in space.grid():
        try:
            params = space.complete(free)
            names = {**params, **figures("hardware", evaluator.design(params))}
            if all(c.violation(names) == 0 for c in alone):
                return
        except HwsimError:
            continue
    listed = ", ".join(f"'{c.text}'" for c in alone)
    raise HwsimError(f"no design of the space meets {listed}.", where=alone[0].where)
