"""Mutations of bytes, YAML, JSON and protobuf messages; each takes its own source of randomness."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import onnx
import yaml
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

INTEGERS = (
    0,
    1,
    -1,
    2,
    3,
    7,
    17,
    64,
    255,
    65536,
    2**31 - 1,
    2**31,
    -(2**31),
    2**32,
    2**53 + 1,
    2**62,
    2**63 - 1,
    -(2**63),
)
FLOATS = (0.0, -0.0, 0.5, -1.0, 1e-300, 1e300, 3.4e38, float("inf"), float("-inf"), float("nan"))
TEXTS = (
    "", " ", "x", "a b", "..", "/", "/dev/zero", "../../etc/passwd", "%s%n", "=1+1", "[red]", "[/red]", "[link=a]b",
    "\x1b[31m", "\x07", "\r\n", "a\nb", "\u202e", "\u00e9", "\U0001f600", "\ufeff", "{{x}}", "${x}", "<b>", "null",
    "a" * 300, "'", '"', "Weights", "DRAM", "*", "?", "[", "\\", ":memory:", "zoo:lenet5",
)  # fmt: skip
#: Scalars of a YAML file, as they are written there.
WORDS = (
    "0", "1", "-1", "2", "3", "0.5", "-0.5", "1.5", "7", "1000", "65536", "2147483648", "9223372036854775807",
    "9223372036854775808", "18446744073709551616", "1e9", "1e308", "1e-308", "1e400", ".inf", "-.inf", ".nan", "nan",
    "inf", "0x10", "0o17", "0b1", "1_000", "1:30", "9" * 400, "9" * 5000, "0x" + "f" * 40, "2001-01-01",
    "2001-01-01 10:00:00", "2001-99-99", "true", "false", "null", "~", "yes", "''", "[]", "{}", "[1]", "{a: 1}",
    "[[]]", "1/0", "2**64", "2**99999", "9**9**9", "10 % 0", "x", "x + 1", "min()", "max(1, 'a')", "log2(0)",
    "sqrt(-1)", "ceil(inf)", "int('1')", "__import__", "().__class__", "lambda: 0", "[x for x in y]", "'a' * 10**9",
    "1 if 1 else 2", "1 and", "(", ")", "((((((((((1))))))))))", "-" * 200 + "1", "(" * 200 + "1" + ")" * 200,
    "!x 1", "!!python/object:os.system", "!!binary aGk=", "!!set {a}", "!!timestamp 1", "&a [*a]", "*a", "<<",
    "1 ns", "45nm", "45 nm", "0nm", "-5nm", "1e9nm", ".infnm", "W", "mm2", "'*'", "'[0-9]'", "🙂", "'\\e[31m'",
    '"\\e[31m"', '"\\0"', '"a\\nb"', "'[red]'", "'=1+1'",
)  # fmt: skip
_MOST_VALUES = 20_000
T = TypeVar("T")


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:  # noqa: PLR0911 (a table of changes)
    """One change: bits, bytes, ranges removed, doubled, moved, or the end cut off."""
    if not data:
        return rng.randbytes(rng.randint(1, 8))
    at, length = rng.randrange(len(data)), 1 + min(int(rng.expovariate(0.1)), len(data))
    part = data[at : at + length]
    match rng.randrange(8):
        case 0:
            return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        case 1:
            return data[:at] + rng.randbytes(1) + data[at + 1 :]
        case 2:
            return data[:at] + data[at + length :]
        case 3:
            return data[:at] + part * rng.choice((2, 2, 2, 100)) + data[at + length :]
        case 4:
            to = rng.randrange(len(data))
            return data[:to] + part + data[to:]
        case 5:
            return data[:at]
        case 6:
            return (
                data[:at] + rng.choice((b"\x00", b"\xff", b"\x80", b"\xff" * 9 + b"\x01", b"\xed\xa0\x80")) + data[at:]
            )
        case _:
            return data[:at] + rng.randbytes(length) + data[at + length :]


def mutate_text(rng: random.Random, text: str) -> str:
    """One change to a short text: a piece replaced, put in, or taken out."""
    at = rng.randrange(len(text) + 1)
    to = min(len(text), at + rng.choice((0, 0, 1, 1, 2, 5)))
    return text[:at] + rng.choice((rng.choice(WORDS), rng.choice(TEXTS), "", rng.choice("=.,*?[]-+0/ "))) + text[to:]


def mutate_assignment(rng: random.Random, text: str) -> str:
    """One change to ``NAME=VALUE``: half of the time another value, of the same kind more often than not."""
    name, equals, value = text.partition("=")
    if not equals or rng.random() < 0.5:
        return mutate_text(rng, text)
    near = [value.replace("2", "4"), value + "0", "1", "2", "3", "8", "12", "100", "0.5"]
    return f"{name}={rng.choice(near if rng.random() < 0.6 else WORDS)}"


# --- trees --------------------------------------------------------------------------


def _places(root: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key or index) of every value below a tree of dicts and lists."""
    todo = [root]
    for value in todo:
        entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, below in entries:
            yield value, key
            if isinstance(below, dict | list) and len(todo) < _MOST_VALUES:
                todo.append(below)


def mutate_json(rng: random.Random, data: bytes) -> bytes:
    """One change to a JSON document: a value replaced, removed, doubled, moved, wrapped."""
    tree = json.loads(data)
    places = list(_places(tree))
    if not places:
        return data
    container, key = rng.choice(places)
    match rng.randrange(7):
        case 0:
            del container[key]
        case 1:
            container[key] = rng.choice(INTEGERS)
        case 2:
            container[key] = rng.choice(FLOATS)
        case 3:
            container[key] = rng.choice((*TEXTS, None, True, False, [], {}, 10**400, "\ud800"))
        case 4:
            other, place = rng.choice(places)
            container[key] = json.loads(json.dumps(other.get(place) if isinstance(other, dict) else None))
        case 5:
            deep: Any = container[key]
            for _ in range(rng.choice((1, 2, 50))):
                deep = [deep] if rng.random() < 0.5 else {"a": deep}
            container[key] = deep
        case _ if isinstance(container, list):
            container.insert(key, container[key])
        case _:
            container[rng.choice(TEXTS)] = container.pop(key)
    return json.dumps(tree).encode()


def mutate_yaml(rng: random.Random, data: bytes) -> bytes:
    """One change to a YAML document, on its nodes, so that tags such as ``!Component`` stay."""
    try:
        root = yaml.compose(data.decode(), yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError):
        return mutate_bytes(rng, data)
    nodes: list[tuple[yaml.Node, int, int]] = []  # (parent, index, 0 or 1: key or value)
    todo = [root] if root is not None else []
    for node in todo:
        if isinstance(node, yaml.MappingNode):
            nodes += [(node, i, part) for i in range(len(node.value)) for part in (0, 1, 1, 1, 1, 1)]
            todo += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            nodes += [(node, i, 1) for i in range(len(node.value))]
            todo += node.value
        if len(todo) > _MOST_VALUES:
            return data
    if not nodes:
        return mutate_bytes(rng, data)
    parent, index, part = rng.choice(nodes)
    if rng.random() < 0.1:
        return data.replace(b"\n", rng.choice((b"\r\n", b"\n\t", b"\n  ", b"\n---\n")), 1)
    _change_node(rng, parent, index, part, nodes)
    try:
        return yaml.serialize(root, Dumper=yaml.CSafeDumper, allow_unicode=True).encode()
    except (yaml.YAMLError, UnicodeEncodeError, RecursionError):
        return mutate_bytes(rng, data)


def _change_node(
    rng: random.Random, parent: yaml.Node, index: int, part: int, nodes: list[tuple[yaml.Node, int, int]]
) -> None:
    """Replace, remove, double, move or wrap a child of a node."""

    def child(node: yaml.Node, i: int, which: int) -> yaml.Node:
        return node.value[i][which] if isinstance(node, yaml.MappingNode) else node.value[i]

    def put(new: yaml.Node) -> None:
        if isinstance(parent, yaml.MappingNode):
            pair = list(parent.value[index])
            pair[part] = new
            parent.value[index] = tuple(pair)
        else:
            parent.value[index] = new

    old = child(parent, index, part)
    if isinstance(old, yaml.ScalarNode) and old.value.isdecimal() and len(old.value) < 10 and rng.random() < 0.6:
        near = int(old.value)
        put(yaml.ScalarNode(old.tag, str(rng.choice((near + 1, abs(near - 1), 2 * near, near // 2, 1, 2, 3, 5, 0)))))
        return
    match rng.randrange(9):
        case 0:
            del parent.value[index]
        case 1:
            parent.value.insert(index, parent.value[index])
        case 2:
            other = rng.randrange(len(parent.value))
            parent.value[index], parent.value[other] = parent.value[other], parent.value[index]
        case 3:
            put(child(*rng.choice(nodes)))
        case 4:
            put(yaml.SequenceNode(yaml.resolver.BaseResolver.DEFAULT_SEQUENCE_TAG, [old], flow_style=True))
        case 5 if isinstance(old, yaml.ScalarNode):
            put(yaml.ScalarNode(old.tag, mutate_text(rng, old.value), style=old.style))
        case 6:
            put(yaml.ScalarNode("tag:yaml.org,2002:str", rng.choice(TEXTS), style='"'))
        case _:
            try:
                put(yaml.compose(rng.choice(WORDS), yaml.CSafeLoader) or old)
            except yaml.YAMLError:
                put(yaml.ScalarNode("tag:yaml.org,2002:str", "", style='"'))


# --- protobuf -----------------------------------------------------------------------

_INTEGER = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT32,
            FieldDescriptor.CPPTYPE_UINT64, FieldDescriptor.CPPTYPE_ENUM}  # fmt: skip
_REAL = {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}


def mutate_onnx(rng: random.Random, data: bytes) -> bytes:
    """One change to a field of some message of a model, found by reflection."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception:
        return mutate_bytes(rng, data)
    messages = list(_messages(model))
    message = rng.choice(messages)
    present = [field for field, _ in message.ListFields()]
    field = rng.choice(present if present and rng.random() < 0.85 else message.DESCRIPTOR.fields)
    try:
        _change_field(rng, message, field, messages)
    except (ValueError, TypeError, OverflowError):
        return mutate_bytes(rng, data)
    return model.SerializeToString()


def _messages(message: Message) -> Iterator[Message]:
    """A message and those inside it; operators and their values stand for more, weights for less."""
    todo = [message]
    for one in todo:
        yield one
        for field, value in one.ListFields():
            if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE and len(todo) < _MOST_VALUES:
                todo += list(value) if _repeated(field) else [value]


def _repeated(field: FieldDescriptor) -> bool:
    return bool(getattr(field, "is_repeated", False)) or (
        not hasattr(field, "is_repeated") and field.label == FieldDescriptor.LABEL_REPEATED
    )


def _scalar(rng: random.Random, field: FieldDescriptor, old: Any, messages: list[Message]) -> Any:
    if field.cpp_type in _INTEGER:
        near = old + rng.choice((-1, 1)) if isinstance(old, int) else 0
        value = rng.choice((near, near, *INTEGERS))
        wide = field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
        return value if wide else max(-(2**31), min(2**31 - 1, value))
    if field.cpp_type in _REAL:
        return rng.choice(FLOATS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return mutate_bytes(rng, bytes(old or b""))
    others = _texts_like(field, messages)
    return rng.choice(others) if others and rng.random() < 0.6 else rng.choice(TEXTS)


def _texts_like(field: FieldDescriptor, messages: list[Message]) -> list[str]:
    """Other texts of the same field: names of operators for an operator's name, of values for a value."""
    found: list[str] = []
    for message in messages:
        for other, value in message.ListFields():
            if other.number == field.number and other.containing_type is field.containing_type:
                found += list(value) if _repeated(other) else [value]
    return found


def _change_field(  # noqa: PLR0912 (a table of changes)
    rng: random.Random, message: Any, field: FieldDescriptor, messages: list[Message]
) -> None:
    value, is_message = getattr(message, field.name), field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE
    alike = [m for m in messages if is_message and m.DESCRIPTOR is field.message_type]
    if not _repeated(field):
        if rng.random() < 0.15:
            message.ClearField(field.name)
        elif not is_message:
            setattr(message, field.name, _scalar(rng, field, value, messages))
        elif alike and rng.random() < 0.7:
            value.CopyFrom(type(value).FromString(rng.choice(alike).SerializeToString()))
        else:
            value.SetInParent()
        return
    change = rng.randrange(6)
    if change == 0 or not value:
        if not is_message:
            value.append(_scalar(rng, field, None, messages))
        elif alike:
            value.add().CopyFrom(type(rng.choice(alike)).FromString(rng.choice(alike).SerializeToString()))
        else:
            value.add()
        return
    at = rng.randrange(len(value))
    if change == 1:
        del value[at]
    elif change == 2 and len(value) > 1:
        parts = list(value) if not is_message else [type(m).FromString(m.SerializeToString()) for m in value]
        rng.shuffle(parts)
        del value[:]
        value.extend(parts)
    elif change == 3:
        del value[at:]
    elif is_message:
        value.add().CopyFrom(value[at])
    else:
        value[at] = _scalar(rng, field, value[at], messages)


def in_steps(rng: random.Random, skip: frozenset[int], value: T, mutate: Callable[[random.Random, T], T]) -> T:
    """A value mutated a few times; steps in ``skip`` are left out, and the others stay what they were."""
    seeds = [rng.getrandbits(64) for _ in range(rng.choice((1, 1, 1, 1, 2, 4)))]
    for step, seed in enumerate(seeds):
        if step not in skip:
            value = mutate(random.Random(seed), value)
    return value
