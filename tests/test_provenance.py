"""What a page says of its making can be typed again."""

import hashlib
import shlex
from pathlib import Path

import pytest

from hwsim.errors import HwsimError
from hwsim.provenance import Inputs, command, file_sha256, version


def test_a_command_can_be_typed_again() -> None:
    options = [
        ("--arch", "my arch.yaml"),
        ("--grid", True),
        ("--trials", None),
        ("--no-cache", False),
        ("--set", ["PE.meshX=8", "*.technology=32nm"]),
        ("--dim", []),
        ("--seed", 0),
    ]
    text = command("explore", "it's.yaml", options=options)
    assert shlex.split(text) == [
        *("hwsim", "explore", "it's.yaml", "--arch", "my arch.yaml", "--grid"),
        *("--set", "PE.meshX=8", "--set", "*.technology=32nm", "--seed", "0"),
    ]


def test_a_file_s_hash(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc" * 100_000)
    assert file_sha256(tmp_path / "x") == hashlib.sha256(b"abc" * 100_000).hexdigest()
    with pytest.raises(HwsimError, match=r"none: .*cannot be read"):
        file_sha256(tmp_path / "none")


def test_inputs_say_which_program() -> None:
    assert Inputs("hwsim zoo", ()).version == version()
