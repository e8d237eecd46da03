"""A recipe: what is trained, on what and how. YAML in `trainers/recipes`, validated before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hwsim.errors import HwsimError, did_you_mean

FOLDER = Path(__file__).parent / "recipes"
MAX_BYTES = 1_000_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
    if not file.is_file():
        raise HwsimError(f"no such recipe.{did_you_mean(name, shipped())}", where=name)
    if file.stat().st_size > MAX_BYTES:
        raise HwsimError(f"the recipe is over {MAX_BYTES} bytes.", where=str(file))
    try:
        data = yaml.safe_load(file.read_text())
        return Recipe.model_validate(data)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise HwsimError(f"the file is no valid YAML: {error}", where=str(file)) from error
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(p) for p in first["loc"])
        found = "" if first["type"] == "missing" else f", found {first['input']!r}"
        raise HwsimError(f"{first['msg']}{found}.", where=f"{file}: {path}") from error
