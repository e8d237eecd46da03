"""Recipe files with faults: one message with file and field, whatever stands in them."""

import copy
import math
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from hwsim.errors import HwsimError
from hwsim.trainers.recipe import FOLDER, load_recipe, shipped

START = "name: x\ntitle: x\n"
SEARCH = "trials: 2, epochs: 1, validation: 64, limits: {params: 400}"


def refused(file: Path, content: str | bytes, said: str) -> None:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(HwsimError, match=said) as caught:
        load_recipe(str(file))
    assert str(file) in caught.value.where and len(str(caught.value)) < 1000 and str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "valid"),
        ("[]", "valid"),
        ("name: ../../x\ntitle: x\n", "name: .*pattern"),
        ("name: x/y\ntitle: x\n", "name: .*pattern"),
        ("name: .hidden\ntitle: x\n", "name: .*pattern"),
        (START + "a: &b 1\nc: *b\n", r"aliases \(\*name\)"),
        (START + "a: [" * 3000, "YAML.*line 3"),
        (START + "\0", "YAML"),
        (b"name: \xff\n", "UTF-8; the byte at position 6"),
        (START + "target: 2024-99-99\n", "cannot be read"),
        (START + "target: !!int ''\n", "cannot be read"),
        (START + "target: !!float x\n", "cannot be read"),
        (START + "target: !!python/object/apply:os.system [ls]\n", "YAML"),
        (START + "? [a]\n: b\n", "YAML"),
        (START + "max_parameters: " + "9" * 5000 + "\n", "cannot be read"),
        (START + "training: {epochs: 1, learning_rate: .inf}\n", "training.learning_rate: .*found inf"),
        (START + "training: {epochs: 1, learning_rate: .nan}\n", "training.learning_rate: .*found nan"),
        (START + "training: {epochs: 0x" + "f" * 4000 + ", learning_rate: 1}\n", "training.epochs"),
        (START + "networks: []\n", "networks"),
        (START + "network: [" + "a, " * 1000 + "[b]]\n", "network"),
        (START + "pruning: {first: 1, last: 0}\nmax_parameters: 5\n", "training"),
        (START + "kind: lora-study\n", "options.frozen: Field required"),
        (START + "kind: lora-study\noptions: {frozen: 3, rank: 8, alpha: 16}\n", "options.frozen: .*found 3"),
        (START + "kind: transformer\noptions: {length: -1}\n", "options"),
        (START + "options: {serach: {}}\n", "options.serach"),
        (START + f"options: {{search: {{{SEARCH}, choices: {{a: [1]}}, templates: [['conv {{b}}']]}}}}\n", "name 'b'"),
        (
            START + f"options: {{search: {{{SEARCH}, choices: {{a: [1]}}, templates: [['{{a.__class__}}']]}}}}\n",
            "name 'a.__class__'",
        ),
        (
            START
            + f"options: {{search: {{{SEARCH}, choices: {{{', '.join(f'{c}: {list(range(10))}' for c in 'abcdef')}}}, "
            "templates: [['conv {a}']]}}\n",
            "more than 100,000 networks",
        ),
        (START + "options: {search: {trials: 2, epochs: 1, validation: 1, limits: {x: 1}}}\n", "options.search"),
    ],
)
def test_faults_are_named(content: str | bytes, said: str, tmp_path: Path) -> None:
    refused(tmp_path / "own.yaml", content, said)


def test_names_that_are_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    for name, said in (
        ("mit-lab2", "mit-lab1"),
        ("n" * 300, "no such"),
        ("a\0b", "no such"),
        ("n" * 300 + ".yaml", "no such"),
    ):
        with pytest.raises(HwsimError, match=said):
            load_recipe(name)
    with pytest.raises(HwsimError, match="folder"):
        load_recipe(str(tmp_path / "folder.yaml"))


def mutated(value: Any, rng: random.Random) -> Any:
    """A field of it changed to something of another kind."""
    out = copy.deepcopy(value)
    place, key = out, rng.choice(list(out))
    while isinstance(place[key], dict | list) and place[key] and rng.random() < 0.8:
        place = place[key]
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
    place[key] = rng.choice(
        [None, True, -1, 0, 1e308, math.nan, "", "\x1b[2J", [], {}, [[]], {"a": 1}, "w" * 5000, [1] * 50]
    )
    return out


def test_any_field_may_hold_anything(tmp_path: Path) -> None:
    rng, file = random.Random(7), tmp_path / "own.yaml"
    bases = [yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")) for name in shipped()]
    told = 0
    for _ in range(300):
        file.write_text(yaml.safe_dump(mutated(rng.choice(bases), rng)), encoding="utf-8")
        try:
            load_recipe(str(file))
        except HwsimError as error:
            told += 1
            assert str(error).isprintable() and len(str(error)) < 1000 and str(file) in error.where
    assert told > 150  # most changes are faults
