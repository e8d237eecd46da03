"""`Node`: one operator of an ONNX graph with the values it reads and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hwsim.errors import HwsimError
from hwsim.workloads.operators.value import Value, shown


@dataclass(frozen=True)
class Node:
    """One operator as the lowering sees it.

    Attributes:
        op: operator type; other domains than ONNX's own lead with theirs (``com.microsoft.Attention``).
        name: for messages.
        inputs: values by slot; None where an optional input is left out.
        output_shapes: shapes by slot; None where not known.
        attributes: as Python values (``int``, ``float``, ``bytes``, lists, protos).
        where: the file, for messages.
    """

    op: str
    name: str
    inputs: tuple[Value | None, ...]
    attributes: Mapping[str, Any]
    output_shapes: tuple[tuple[int, ...] | None, ...] = ()
    where: str = field(default="", compare=False)

    def error(self, message: str) -> HwsimError:
        """An error that names the file and the node."""
        return HwsimError(f"operator '{self.name}' ({self.op}): {message}", where=self.where)

    def has(self, slot: int) -> bool:
        """True where an input is given."""
        return slot < len(self.inputs) and self.inputs[slot] is not None

    def value(self, slot: int) -> Value:
        """A required input."""
        value = self.inputs[slot] if slot < len(self.inputs) else None
        if value is None:
            raise self.error(f"input {slot} is missing")
        return value

    def shape(self, slot: int, *ranks: int) -> tuple[int, ...]:
        """Shape of a required input; HwsimError where it is not known or has none of the ranks."""
        value = self.value(slot)
        if value.shape is None:
            because = f": {value.reason}" if value.reason else ""
            known = f" ({shown(value.partial)})" if value.partial is not None else ""
            raise self.error(f"the shape of input {slot} is not known{known}{because}")
        if ranks and len(value.shape) not in ranks:
            expected = " or ".join(map(str, ranks))
            raise self.error(f"input {slot} has shape {list(value.shape)}, expected {expected} dimensions")
        return value.shape

    def output_shape(self, slot: int = 0) -> tuple[int, ...]:
        """Shape of an output; HwsimError where it is not known."""
        shape = self.output_shapes[slot] if slot < len(self.output_shapes) else None
        if shape is None:
            raise self.error(f"the shape of output {slot} is not known")
        return shape

    def positive(self, name: str) -> int:
        """A required integer attribute, 1 or more."""
        if name not in self.attributes:
            raise self.error(f"attribute '{name}' is missing")
        value = self.integer(name, 0)
        if value < 1:
            raise self.error(f"attribute '{name}' is {value}, expected 1 or more")
        return value

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise self.error(f"attribute '{name}' is {value!r}, expected a whole number")
        return value

    def integers(self, name: str, default: Sequence[int], least: int | None = None) -> tuple[int, ...]:
        """An attribute that is a list of as many integers as its default has, none below ``least``."""
        value = self.attributes.get(name, default)
        if not isinstance(value, Sequence) or not all(isinstance(v, int) for v in value) or len(value) != len(default):
            raise self.error(f"attribute '{name}' is {value!r}, expected {len(default)} whole numbers")
        if least is not None and any(v < least for v in value):
            raise self.error(f"attribute '{name}' is {list(value)}, expected no number below {least}")
        return tuple(value)

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        value = self.attributes.get(name, default.encode())
        if not isinstance(value, bytes):
            raise self.error(f"attribute '{name}' is {value!r}, expected text")
        return value.decode(errors="replace")
