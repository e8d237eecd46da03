"""The table of commands, and that nothing is loaded before it is used."""

import inspect
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from hwsim.cli.commands import COMMANDS, function
from tests.conftest import Run

Hwsim = Callable[..., Run]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says(name: str) -> None:
    first, _, _ = (inspect.getdoc(function(name)) or "").partition("\n\n")
    assert " ".join(first.split()) == COMMANDS[name][1]


@pytest.mark.parametrize("name", COMMANDS)
def test_help(hwsim: Hwsim, name: str) -> None:
    run = hwsim(name, "--help")
    assert run.code == 0 and f"hwsim {name} [OPTIONS]" in run.out and not run.err
    assert hwsim(name, "-h").out == run.out


def test_a_command_that_is_none(hwsim: Hwsim) -> None:
    run = hwsim("profil", "zoo:lenet5")
    assert run.code == 2 and "No such command 'profil'. Did you mean 'profile'?" in run.err
    run = hwsim("profile", "zoo:lenet5", "--objektive", "edp")
    assert run.code == 2 and "Possible options: --objective" in run.err and "profile --help." in run.err


def test_the_list_of_commands_loads_none() -> None:
    heavy = ("numpy", "numba", "onnx", "rich", "yaml", "pydantic", "hwsim.network")
    code = f"import sys, hwsim.cli; print([m for m in sys.modules if m in {heavy!r}])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(("words", "offered"), [("hwsim prof", "profile"), ("hwsim profile --objec", "--objective")])
def test_completion(words: str, offered: str) -> None:
    asked = {"_HWSIM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    code = "import sys; sys.argv = ['hwsim']; from hwsim.cli import main; main()"
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert offered in run.stdout.split(), run
