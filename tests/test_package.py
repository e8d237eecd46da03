"""One import package: names that others use are left alone, and theirs disturb nothing."""

import os
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import hwsim

OTHERS = ("arch_specs", "workloads", "reports", "trainers")


@pytest.mark.parametrize("name", OTHERS)
def test_general_names_are_not_ours(name: str, tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", f"import {name}"], cwd=tmp_path, capture_output=True, check=False)
    assert run.returncode == 1 and b"ModuleNotFoundError" in run.stderr


def test_someone_s_own_modules_of_such_names(tmp_path: Path) -> None:
    for name in OTHERS[:2]:
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('a stranger was imported')\n")
    for name in OTHERS[2:]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('a stranger was imported')\n")
    code = "from hwsim.cli import main; main()"
    for words in (["profile", "zoo:lenet5", "--html", "page.html"], ["archs"], ["train", "--list"], ["zoo"]):
        run = subprocess.run(
            [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )  # fmt: skip
        assert "stranger" not in run.stderr and "Traceback" not in run.stderr, run.stderr
    assert (tmp_path / "page.html").is_file()


def test_what_there_is() -> None:
    assert set(hwsim.__all__) <= set(dir(hwsim))
    for name in hwsim.__all__:
        assert getattr(hwsim, name) is not None
    assert not [name for name in dir(hwsim) if name in ("os", "Any", "annotations")]
    with pytest.raises(AttributeError, match="no attribute 'profil'"):
        hwsim.profil  # noqa: B018
    assert (Path(hwsim.__file__).parent / "py.typed").is_file()
    assert typing.get_type_hints(hwsim.profile)["return"].__name__ == "NetworkCost"
