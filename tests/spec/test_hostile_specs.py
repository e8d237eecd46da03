"""Specifications that are wrong in odd ways: whatever a file holds, reading it gives objects or one message."""

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hwsim.cost import LayerCost
from hwsim.design import load_architecture, load_specs, shipped_architectures
from hwsim.design.settings import Setting
from hwsim.errors import HwsimError
from hwsim.model import evaluate
from hwsim.spec.document import parse_document
from tests.conftest import Run
from tests.spec.test_spec import ARCHITECTURE, BASE, LEGACY, MAPPING, PROBLEM

Hwsim = Callable[..., Run]
DIGITS = "9" * 5_000
HEX = "0x" + "f" * 4_000

# What is replaced by what, and words of the message.
CASES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "mapping with a mapping as target": ("target: spad, type", "target: {a: 1}, type", ("mapping[3].target", "text")),
    "mapping with a number as target": ("target: spad, type", "target: 1e-300, type", ("mapping[3]", "no level")),
    "mapping that is no list": ("mapping:\n- {target: DRAM", "mapping: 5\nx:\n- {target: DRAM", ("unknown key 'x'",)),
    "directive that is no mapping": ("- {target: spad", "- 7\n- {target: spad", ("mapping[3]", "mapping (key: value)")),
    "size of 5,000 digits": ("instance: {C: 4", f"instance: {{C: {DIGITS}", ("instance.C", "5,000 characters")),
    "size of 4,000 hex digits": ("instance: {C: 4", f"instance: {{C: {HEX}", ("instance.C", "4,002 characters")),
    "size of 40 hex digits": ("instance: {C: 4", f"instance: {{C: {HEX[:42]}", ("instance.C", "too large", "2^62")),
    "size in an expression": ("instance: {C: 4", "instance: {C: 2**70", ("instance.C", "too large")),
    "size that is no number": ("instance: {C: 4", "instance: {C: .nan", ("instance.C", "whole number")),
    "size that has no end": ("instance: {C: 4", "instance: {C: .inf", ("instance.C", "whole number")),
    "products too large": ("M: 4, P: 8}", "M: 4611686018427387904, P: 8}", ("problem", "multiplications", "2^62")),
    "dimension given twice": ("dimensions: [C, M, P]", "dimensions: [C, M, P, C]", ("'C' is given twice",)),
    "too many dimensions": (
        "dimensions: [C, M, P]",
        f"dimensions: [{', '.join(f'D{k}' for k in range(33))}]",
        ("33 dimensions", "32"),
    ),
    "factor of 5,000 digits": ("factors: C1 M1 P8", f"factors: C{DIGITS[:1900]} M1 P8", ("factors", "not a factor")),
    "factors without end": ("factors: C1 M1 P8", f"factors: {'C1 ' * 900}", ("factors", "2,699 characters")),
    "factor of a mapping": ("factors: C1 M1 P8", f"factors: {{C: {HEX[:40]}}}", ("factors.C", "too large")),
    "permutation twice": ("permutation: PCM", "permutation: PCP", ("permutation", "'P' stands twice")),
    "NUL in a name": ("class: smartbuffer_SRAM", 'class: "a\\0b"', ("nodes[2].class", "NUL")),
    "half a surrogate": ("class: smartbuffer_SRAM", 'class: "a\\uD800b"', ("spec.yaml",)),
    "NUL in a key": ("instance: {C: 4", 'instance: {"\\0": 4', ("instance", "NUL")),
    "tag on what is none": ("depth: 16 * 4", "depth: !!int deep", ("nodes[2].attributes.depth", "is no int")),
    "boolean that is none": ("depth: 16 * 4", "depth: !!bool deep", ("nodes[2].attributes.depth", "is no bool")),
    "object of Python": ("depth: 16 * 4", "depth: !!python/object:os.system x", ("nodes[2].attributes",)),
    "date": ("depth: 16 * 4", "depth: 2020-01-01", ("nodes[2].attributes.depth", "should be a number")),
    "list": ("depth: 16 * 4", "depth: [1, 2]", ("nodes[2].attributes.depth", "should be a number")),
    "deep list": ("depth: 16 * 4", f"depth: {'[' * 150}{']' * 150}", ("spec.yaml", "deep")),
    "very deep list": ("depth: 16 * 4", f"depth: {'[' * 9000}{']' * 9000}", ("spec.yaml",)),
    "infinite depth": ("depth: 16 * 4", "depth: .inf", ("nodes[2].attributes.depth", "at most 2^53")),
    "depth beyond doubles": ("depth: 16 * 4", "depth: 2**1030", ("nodes[2].attributes.depth", "at most 2^53")),
    "depth that is no number": ("depth: 16 * 4", "depth: .nan", ("nodes[2].attributes.depth", "at least 0")),
    "kibibytes without end": ("depth: 16 * 4", "sizeKB: 1.0e+308", ("nodes[2].attributes.sizeKB", "at most 2^53")),
    "text without end": ("depth: 16 * 4", f"depth: {'x' * 20_000}", ("attributes.depth", "20,000 char")),
    "key without end": ("depth: 16 * 4", f"{'x' * 600}: 1", ("nodes[2].attributes", "600 characters")),
    "too many instances": ("spatial: {meshX: 4, meshY: 2}", "spatial: {meshX: 4096, meshY: 4097}", ("16,781,312",)),
    "mesh that has no end": ("spatial: {meshX: 4, meshY: 2}", "spatial: {meshX: .inf}", ("spatial.meshX", "whole")),
    "bandwidth of almost nothing": (
        "attributes: {depth: 16 * 4",
        "attributes: {read_bandwidth: 1.0e-320, depth: 16 * 4",
        ("nodes[2].attributes", "words per cycle"),
    ),
    "cycle without end": ("technology: 45nm", "technology: 45nm, global_cycle_seconds: .nan", ("clock cycle",)),
    "nothing where much is needed": ("shape:\n    name: product", "shape:\n    name:", ()),
    "attributes that are none": ("attributes: {type: LPDDR4, width: 64}", "attributes: 7", ("nodes[1].attributes",)),
    "components that are none": ("variables: {", "components: [7]\nvariables: {", ("components[0]",)),
    "variables that are none": ("variables: {version: 0.4, WIDTH: 32}", "variables: 7", ("variables",)),
    "chain of names": (
        "variables: {version: 0.4, WIDTH: 32}",
        f"variables: {{{', '.join(f'v{k}: v{k + 1}' for k in range(2000))}, v2000: 32, WIDTH: v0}}",
        ("chain of more than 50",),
    ),
    "arch of NUL": ("architecture:\n", 'arch: "\\0"\narchitecture:\n', ("arch", "NUL")),
    "utilization of more than all": (
        "constraints: {dataspace: {keep: [Weights]",
        "constraints: {utilization: {min: 1.5}, dataspace: {keep: [Weights]",
        ("utilization.min", "0 to 1"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_message(hwsim: Hwsim, tmp_path: Path, case: str) -> None:
    old, new, words = CASES[case]
    assert old in BASE
    path = tmp_path / "spec.yaml"
    path.write_text(BASE.replace(old, new, 1))
    run = hwsim("evaluate", path)
    if not words:
        assert run.code == 0
        return
    assert run.code == 2, run.out
    assert "Traceback" not in run.err and len(run.err.strip().splitlines()) == 1 and len(run.err) < 3_000
    for word in words:
        assert word in run.err, run.err


OLD: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "range of 5,000 digits": ("PE[0..255]", f"PE[0..{DIGITS}]", ("is not a name",)),
    "too many": ("PE[0..255]", "PE[0..16777216]", ("16,777,217 instances of 'PE'",)),
    "empty range": ("PE[0..255]", "PE[7..6]", ("empty",)),
    "mesh that is no grid": ("meshX: 32}\n        - {name: mac", "meshX: 33}\n        - {name: mac", ("grid",)),
    "no compute": ("class: intmac", "class: wire", ("one compute unit", "found 0")),
}


@pytest.mark.parametrize("case", OLD)
def test_the_older_form(tmp_path: Path, case: str) -> None:
    old, new, words = OLD[case]
    assert old in LEGACY
    path = tmp_path / "old.yaml"
    path.write_text(LEGACY.replace(old, new, 1))
    with pytest.raises(HwsimError) as caught:
        load_architecture(path)
    for word in words:
        assert word in str(caught.value)


def test_more_levels_than_a_design_has(tmp_path: Path) -> None:
    """Thirty-two levels are read, thirty-three not; nor two thousand containers, each inside the one before."""
    buffer = "  - !Component\n    name: bK\n    class: SRAM\n    attributes: {depth: 8, width: 8}\n"
    head, tail = ARCHITECTURE.split("  - !Container\n    name: PE\n")
    path = tmp_path / "deep.yaml"
    for count, said in ((28, ""), (29, "33 levels")):
        extra = "".join(buffer.replace("bK", f"b{k}") for k in range(count))
        path.write_text(f"{head}{extra}  - !Container\n    name: PE\n{tail}")
        if said:
            with pytest.raises(HwsimError, match=said):
                load_architecture(path)
        else:
            assert len(load_architecture(path)[0].levels) == 32
    containers = "".join(f"  - !Container\n    name: c{k}\n" for k in range(2_000))
    path.write_text(f"{head}{containers}  - !Container\n    name: PE\n{tail}")
    with pytest.raises(HwsimError, match="more than 100 components and containers"):
        load_architecture(path)


VALUES = [
    *("2020-01-01", "2020-13-45", "[" * 3_000, "[" * 60 + "]" * 60, DIGITS, "-" + DIGITS, HEX, "!!int x", '"\\0"'),
    *("{a: 1}", "null", "&a [*a]", ".nan", "1.0e+400", "1 2", "x" * 5_000),
]


@pytest.mark.parametrize("text", VALUES, ids=[x[:12] for x in VALUES])
def test_settings(text: str) -> None:
    with pytest.raises(HwsimError) as caught:
        load_architecture("simple_ws", [Setting.parse(f"shared_glb.depth={text}")])
        raise HwsimError("2020-13-45 is a sum: 1962 rows") if text == "2020-13-45" else AssertionError(text)
    assert caught.value.message


def test_settings_of_what_has_no_form() -> None:
    for text in ("", "=", "a", ".=1", "a.=1", ".b=1", "a.b", "a.b=", "a.b= "):
        with pytest.raises(HwsimError, match=r"expected COMPONENT\.ATTRIBUTE=VALUE"):
            Setting.parse(text)
    setting = Setting.parse(" PE.x.meshX =8")
    assert (setting.component, setting.name, setting.value) == ("PE.x", "meshX", 8)


def test_merge_keys_and_numbers() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [*a, {z: 4}]}\nd: 0x10\ne: 1_000\nf: !t 5\n"
    found = parse_document(text).plain
    assert found["b"] == {"x": 1, "y": 3} and found["c"] == {"x": 1, "y": 2, "z": 4}
    assert (found["d"], found["e"]) == (16, 1000) and (found["f"].tag, found["f"].value) == ("t", "5")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: {<<: 5}", "merges mappings"),
        ("{[1]: 2}", "keys are names"),
        ("a: 1\na: 2", "twice"),
        ("a: *b", "not valid YAML"),
        ("{{ x }}", "Jinja"),
    ],
)
def test_documents_that_are_none(text: str, said: str) -> None:
    with pytest.raises(HwsimError, match=said):
        parse_document(text)


NASTY = [
    *("0", "-1", "1e300", ".inf", ".nan", "9" * 400, "0x" + "f" * 40, "2020-01-01", "null", "true", "[]", "{}", "''"),
    *('"\\0"', "*x", "&x [*x]", "!!int a", "!x y", "[[[[[[", "9**9**9", "1/0", "depth", "\x1b[31m", "\u202e"),
    *("4611686018427387904", "45nm", "C", "DRAM", "0.5", "PE[0..9]", "must_specify"),
]


def mutated(rng: random.Random, text: str) -> str:
    """The text with one to three words, lines or characters changed."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        words = [m.span() for m in re.finditer(r"[A-Za-z0-9_.]+", text)]
        a, b = rng.choice(words)
        way = rng.randrange(5)
        if way == 0:
            lines = text.splitlines(keepends=True)
            del lines[rng.randrange(len(lines))]
            text = "".join(lines)
        elif way == 1:
            c, d = rng.choice(words)
            text = text[:a] + text[c:d] + text[b:]
        elif way == 2:
            at = rng.randrange(len(text))
            text = text[:at] + text[at + 1 :]
        else:
            text = text[:a] + rng.choice(NASTY) + text[b:]
    return text


SEEDS = {
    "spec": BASE,
    "old": LEGACY + PROBLEM + MAPPING.replace("target: buffer", "target: GLB").replace("target: PE", "target: GLB"),
    "table": "",
}


@pytest.mark.parametrize("kind", SEEDS)
def test_mutated_files(tmp_path: Path, kind: str) -> None:
    """A few hundred mutations of each form: objects or a message, and no cost that is absurd."""
    rng = random.Random(20)
    path = tmp_path / "a.yaml"
    arch = shipped_architectures()["simple_ws"]
    table = arch.with_name("simple_ws.ert.yaml").read_text()
    read = 0
    for _ in range(400):
        if kind == "table":
            path.write_text(arch.read_text())
            (tmp_path / "a.ert.yaml").write_text(mutated(rng, table))
        else:
            path.write_text(mutated(rng, SEEDS[kind]))
        try:
            if kind == "table":
                load_architecture(path)
                read += 1
                continue
            for spec in load_specs([path]):
                assert spec.mapping is not None
                cost = evaluate(spec.problem, spec.architecture, spec.mapping, spec.energy)
                if isinstance(cost, LayerCost):
                    read += 1
                    assert 0 <= cost.energy_pj < 1e60 and cost.cycles > 0 and 0 < cost.utilization <= 1
        except HwsimError as error:
            assert error.message and "a." in error.where
    assert read > 20, "some mutations change nothing that matters"


def test_limits_of_documents_are_sharp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwsim.spec.document.MAX_NODES", 1_000)  # half a million take seconds

    def nested(depth: int) -> str:
        return "[" * depth + "]" * depth

    lists: list[tuple[Callable[[int], str], int, str]] = [
        (nested, 100, "nested deeper than 100"),
        (lambda n: f"a: {'x' * n}", 10_000, "10,001 characters"),
        (lambda n: f"{'x' * n}: 1", 500, "501 characters"),
        (lambda n: f"a: {'1' * n}", 500, "501 characters"),
        (lambda n: f"[{', '.join('1' for _ in range(n - 1))}]", 1_000, "more than 1,000 values"),
    ]
    for make, most, said in lists:
        parse_document(make(most))
        with pytest.raises(HwsimError, match=said):
            parse_document(make(most + 1))
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * (16 * 2**20))
    with pytest.raises(HwsimError, match="expected a mapping with"):
        load_specs([path])
    path.write_bytes(b"#" * (16 * 2**20 + 1))
    with pytest.raises(HwsimError, match="16,777,217"):
        load_specs([path])
    path.write_bytes(b"a: \xff")
    with pytest.raises(HwsimError, match="UTF-8"):
        load_specs([path])
    assert parse_document(f"a: {2**62}").key("a").integer() == 2**62
    for text in (f"a: {2**62 + 1}", f"a: -{2**62 + 1}", "a: 1.0e+300"):
        with pytest.raises(HwsimError, match="too large"):
            parse_document(text).key("a").integer()
