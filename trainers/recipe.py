"""A recipe: what is trained, on what and how. YAML in `trainers/recipes`, validated before anything starts."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hwsim.errors import HwsimError, did_you_mean, shown_value
from hwsim.files import read_text

FOLDER = Path(__file__).parent / "recipes"
MAX_BYTES = 1_000_000
MOST_NETWORKS = 100_000
Kind = TypeVar("Kind", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Augment(_Strict):
    """Random changes to training images.

    Crop after reflected padding (pixels), flip left-right, cutout (pixels), and the share of images in which
    a box shows another image.
    """

    crop: int = Field(default=0, ge=0, le=32)
    flip: bool = False
    cutout: int = Field(default=0, ge=0, le=64)
    mix: float = Field(default=0.0, ge=0, le=1)


class Stage(_Strict):
    """From this epoch on, train at this resolution (pixels a side)."""

    epoch: int = Field(ge=0)
    resolution: int = Field(ge=8, le=512)


class Finish(_Strict):
    """A second, smaller cycle of the learning rate after the first."""

    epochs: int = Field(ge=1, le=2000)
    learning_rate: float = Field(gt=0)


class Muon(_Strict):
    """Orthogonalised steps for the weights of dense convolutions (Jordan et al. 2024); SGD takes the other parameters.

    The learning rate follows the schedule; its peak is the one given here.
    """

    learning_rate: float = Field(default=0.02, gt=0)
    weight_decay: float = Field(default=0.01, ge=0, description="decoupled: times the learning rate")


class Training(_Strict):
    """How the weights are found: SGD, with Muon for convolutions if asked, a schedule, augmentation."""

    epochs: int = Field(ge=1, le=2000)
    batch: int = Field(default=128, ge=1, le=65536)
    learning_rate: float = Field(gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(default=5e-4, ge=0)
    schedule: Literal["one_cycle", "cosine", "multistep", "constant"] = "one_cycle"
    warmup: float = Field(default=0.2, ge=0, lt=1, description="share of the steps in which one_cycle rises")
    milestones: tuple[int, ...] = Field(default=(), description="epochs after which multistep divides by ten")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    average: float = Field(default=0.0, ge=0, lt=1, description="decay per step of averaged weights; 0 keeps the last")
    augment: Augment = Augment()
    stages: tuple[Stage, ...] = Field(default=(), description="resolution by epoch, the last also for evaluation")
    finish: Finish | None = None
    muon: Muon | None = None

    @property
    def all_epochs(self) -> int:
        """Epochs of both cycles."""
        return self.epochs + (self.finish.epochs if self.finish else 0)

    @property
    def resolution(self) -> int | None:
        """Pixels a side at the end and in use; None is the images' own."""
        return self.stages[-1].resolution if self.stages else None


class Distillation(_Strict):
    """Learn from a teacher's soft targets (Hinton et al. 2015, arXiv 1503.02531).

    loss = alpha · T² · KL(teacher ‖ student at temperature T) + (1 − alpha) · cross-entropy.
    """

    teacher: str = Field(description="ONNX file of the teacher; its input is the student's image")
    temperature: float = Field(default=4.0, gt=0)
    alpha: float = Field(default=0.9, ge=0, le=1)
    views: int = Field(default=8, ge=1, le=64, description="augmented looks at each image that the teacher gives")


class Pruning(_Strict):
    """Take filters out until the network fits ``max_parameters``: in equal steps, one before each of these epochs."""

    first: int = Field(ge=0)
    last: int = Field(ge=0)


class Search(_Strict):
    """Networks to choose from: every template with every choice, within the limits."""

    trials: int = Field(ge=1, le=10_000)
    epochs: int = Field(ge=1, le=2000)
    validation: int = Field(ge=1)
    limits: dict[Literal["energy_mj", "cycles", "params", "macs"], float]
    choices: dict[str, tuple[int | float | str, ...]]
    templates: tuple[tuple[str, ...], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _known(self) -> Search:
        named = {name for template in self.templates for layer in template for name in re.findall(r"{(.*?)}", layer)}
        if named - set(self.choices):
            raise ValueError(f"the templates name '{min(named - set(self.choices))}', which is not among the choices")
        if math.prod(map(len, self.choices.values())) * len(self.templates) > MOST_NETWORKS:
            raise ValueError(f"the choices make more than {MOST_NETWORKS:,} networks")
        return self


class ClassifierOptions(_Strict):
    """What a classifier's ``options`` may hold."""

    search: Search | None = None


class ConvnetOptions(_Strict):
    """What the study of learning rates, word widths and pruning tries; ``prune`` is epoch → share."""

    sweep: tuple[float, ...]
    sweep_epochs: int = Field(ge=1)
    bits: tuple[int, ...]
    stochastic_bits: int = Field(ge=1, le=64)
    word_bits: int = Field(ge=1, le=64)
    stochastic_runs: int = Field(ge=1)
    prune: dict[int, Annotated[float, Field(ge=0, lt=1)]]


class LoraOptions(_Strict):
    """Layers that keep their weights, rank and scale of the adapter."""

    frozen: tuple[str, ...]
    rank: int = Field(ge=1)
    alpha: float


class LanguageOptions(_Strict):
    """A language model's size and what is timed, in tokens."""

    size: str
    length: int = Field(ge=1)
    prompt: str
    tokens: int = Field(ge=1)
    warm_up: int = Field(ge=0)
    repeats: int = Field(ge=1)
    prefill: int = Field(ge=1)
    compile_in_trials: bool = False


class TransformerOptions(_Strict):
    """A small transformer on a text."""

    text: str
    length: int = Field(ge=1)
    width: int = Field(ge=1)
    heads: int = Field(ge=1)
    hidden: int = Field(ge=1)
    layers: int = Field(ge=1)
    batch: int = Field(ge=1)
    steps: int = Field(ge=1)
    learning_rate: float = Field(gt=0)


class DepthwiseOptions(_Strict):
    """Sizes of the layers that are timed, widths of the networks that are trained."""

    channels: int = Field(ge=1)
    outputs: int = Field(ge=1)
    repeats: int = Field(ge=1)
    widths: tuple[int, ...] = Field(min_length=1)


_OPTIONS: dict[str, type[_Strict]] = {
    "classifier": ClassifierOptions,
    "convnet-study": ConvnetOptions,
    "lora-study": LoraOptions,
    "language-model": LanguageOptions,
    "transformer": TransformerOptions,
    "depthwise-study": DepthwiseOptions,
}


class Recipe(_Strict):
    """One recipe file; ``kind`` says which code runs it."""

    name: str
    title: str
    kind: Literal["classifier", "convnet-study", "lora-study", "language-model", "transformer", "depthwise-study"] = (
        "classifier"
    )
    dataset: str = "cifar10"
    resolution: int | None = Field(default=None, ge=8, le=512, description="resize the files' pictures to this")
    network: tuple[str, ...] | Literal["mobilenet_v2", "resnet18"] = ()
    activation: Literal["relu", "silu"] = Field(default="relu", description="of networks written layer by layer")
    frozen: int = Field(default=0, ge=0, description="first layers that keep their pretrained weights, folded")
    validation: int = Field(default=0, ge=0)
    target: float | None = Field(default=None, description="test accuracy that the recipe is to reach")
    max_parameters: int | None = None
    rules: tuple[str, ...] = ()
    training: Training | None = None
    distillation: Distillation | None = None
    pruning: Pruning | None = None
    labelled: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="share of the training images whose labels are used; distillation needs none",
    )
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _agrees(self) -> Recipe:
        if self.labelled < 1 and self.distillation is None:
            raise ValueError(
                "'labelled' below 1 needs a 'distillation' section: unlabelled images learn from a teacher"
            )
        if self.pruning is not None and self.max_parameters is None:
            raise ValueError("'pruning' needs 'max_parameters', the size to prune to")
        if self.pruning is not None and not self.pruning.first <= self.pruning.last < self.schedule.epochs:
            raise ValueError("'pruning' should have first <= last < the epochs of the training")
        return self

    @property
    def schedule(self) -> Training:
        """The training section.

        Raises:
            HwsimError: there is none.
        """
        if self.training is None:
            raise HwsimError("a section 'training' is missing.", where=self.name)
        return self.training


def shipped() -> list[str]:
    """Names of the recipes that come with hwsim."""
    return sorted(p.stem for p in FOLDER.glob("*.yaml"))


def load_recipe(name: str) -> Recipe:
    """A recipe by its name or file.

    Raises:
        HwsimError: no such recipe, or a field is wrong (says which, and what was expected).
    """
    file = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not os.path.exists(file):
        raise HwsimError(f"no such recipe.{did_you_mean(name, shipped())}", where=name)
    recipe = _validated(Recipe, _data(file), str(file))
    _validated(_OPTIONS[recipe.kind], recipe.options, str(file), "options")
    return recipe


def _data(file: Path) -> Any:
    """Plain data of a YAML file. Aliases, which could make much of little, are refused; recipes need none."""
    text = read_text(file, MAX_BYTES)
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=loader)):
            raise HwsimError("aliases (*name) are not for recipes; write the value again.", where=str(file))
        return yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
        said = getattr(error, "problem", None) or str(error)
        raise HwsimError(f"the file is no valid YAML: {said}{place}.", where=str(file)) from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # values that their tags do not allow (dates, numbers of thousands of digits, keys that are lists)
        raise HwsimError(f"a value in the file cannot be read: {error}.", where=str(file)) from error


def _validated(kind: type[Kind], value: Any, file: str, place: str = "") -> Kind:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(p) for p in (place, *first["loc"]) if p != "")
        found = "" if first["type"] in ("missing", "value_error") else f", found {shown_value(first['input'])}"
        said = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
        raise HwsimError(f"{said}{found}.", where=f"{file}: {path}" if path else file) from error
