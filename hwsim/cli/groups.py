"""Groups of options that come to a command as one object.

A command is a function whose parameters are options as typer has them, or groups of options; `spread` makes one
parameter of each of a group's options.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from inspect import Parameter
from typing import Any, Self, get_type_hints

#: What an option is shown with whose value stands behind an equals sign, or is left out.
OPTIONAL = "[=FILE]"


class Group:
    """Options that come to a command as one object: the fields of a dataclass, or what `options` says."""

    @classmethod
    def options(cls) -> list[Parameter]:
        """A parameter for each option."""
        hints = get_type_hints(cls, include_extras=True)
        return [
            Parameter(
                x.name,
                Parameter.KEYWORD_ONLY,
                default=Parameter.empty if x.default is MISSING else x.default,
                annotation=hints[x.name],
            )
            for x in fields(cls)  # type: ignore[arg-type]
        ]

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The group with these values of its options."""
        return cls(**values)


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes the options of its groups one by one, as typer reads them."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, tuple[type[Group], list[str]]] = {}
    parameters: list[Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if isinstance(kind, type) and issubclass(kind, Group):
            options = kind.options()
            groups[name] = (kind, [x.name for x in options])
            parameters += options
        else:
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=kind))

    @functools.wraps(command)
    def spread_out(**values: Any) -> None:
        for name, (kind, names) in groups.items():
            values[name] = kind.of({x: values.pop(x) for x in names})
        command(**values)

    spread_out.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    spread_out.__annotations__ = {x.name: x.annotation for x in parameters}
    return spread_out
