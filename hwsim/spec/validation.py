"""Files checked by pydantic, with messages that name file, field and the nearest key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from hwsim.errors import HwsimError, did_you_mean, shown_value

Model = TypeVar("Model", bound=BaseModel)


def validated(kind: type[Model], value: Any, file: str, parts: Iterable[type[BaseModel]] = ()) -> Model:
    """A file's content as a model.

    Args:
        value: plain data as the file holds it.
        file: its name, for messages.
        parts: models inside ``kind``, whose keys are known as well.

    Raises:
        HwsimError: the first fault, with its field.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{file}: {_path(first['loc'])}" if first["loc"] else file
        if first["type"] == "extra_forbidden":
            models: tuple[type[BaseModel], ...] = (kind, *parts)
            known = [name for model in models for name in model.model_fields]
            raise HwsimError(f"unknown key.{did_you_mean(str(first['loc'][-1]), known)}", where=where) from error
        if first["type"] == "value_error":
            message = str(first["ctx"]["error"])
            raise HwsimError(message if message.endswith(".") else f"{message}.", where=where) from error
        found = "" if first["type"] == "missing" else f", found {shown_value(first['input'], 80)}"
        raise HwsimError(f"{first['msg']}{found}.", where=where) from error


def _path(loc: tuple[int | str, ...]) -> str:
    """``models[0].dims.batch``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".")
