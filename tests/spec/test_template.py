"""Templates: what Timeloop's front end lets them do, and what a stranger's may not."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hwsim.errors import HwsimError
from hwsim.spec.document import Field, plain_data
from hwsim.spec.notes import collected
from hwsim.spec.source import Sources
from hwsim.spec.template import Account, render


def rendered(text: str, **data: object) -> str:
    return render(text, "t.yaml", data, {}, Account())


@pytest.mark.parametrize(
    ("text", "data", "expected"),
    [
        ("a: {{ bits | default(8) }}", {}, "a: 8"),
        ("a: {{ bits | default(8) }}", {"bits": 4}, "a: 4"),
        ("{% set p = x ~ '/' ~ 'y' %}{{ p }}", {"x": "k"}, "k/y"),
        ("{% if a is defined and a != 'none' %}{{ a }}{% else %}no{% endif %}", {}, "no"),
        ("{% for k, v in {'A': 1, 'B': 2}.items() %}{{ k }}={{ v }}{% if not loop.last %}, {% endif %}{% endfor %}", {},
         "A=1, B=2"),
        ("{%- macro two(x) %}{{ x }}{{ x }}{% endmacro -%}{{ two('ab') }}", {}, "abab"),
        ("{% set n = namespace(v=0) %}{% for i in range(4) %}{% set n.v = n.v + i %}{% endfor %}{{ n.v }}", {}, "6"),
        ("{{ [1, 2] }} {{ x.split('/') | last }} {{ (2, 5) | max }} {{ 7 // 2 }} {{ 2 ** 5 }}", {"x": "a/b"},
         "[1, 2] b 5 3 32"),
        ("{{ 'a,b'.replace(',', ' ') | upper | indent(2) }}{# gone #}", {}, "A B"),
    ],
)  # fmt: skip
def test_templates(text: str, data: dict[str, object], expected: str) -> None:
    assert rendered(text, **data) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {{ bits }}", "the variable 'bits' has no value; give it with --jinja bits=VALUE"),
        ("\n\n{{ bits ~ 1 }}", "line 3"),
        ("{% for x in many %}{% endfor %}", "--jinja many=VALUE"),
        ("{{ a + 1 }}", "--jinja a=VALUE"),
        ("{{ f('x') }}", "--jinja f=VALUE"),
        ("{% if %}", "no valid Jinja template"),
        ("{{ 'a }}", "no valid Jinja template"),
        ("{% include 'x' %}", "'include' is not allowed"),
        ("{% import 'x' as y %}", "include_text"),
        ("{% extends 'x' %}", "is not allowed"),
        ("{% filter upper %}a{% endfilter %}", "is not allowed"),
        ("{{ ''.__class__ }}", "'__class__' of str cannot be read"),
        ("{{ ''['__class__'] }}", "'__class__' of str cannot be read"),
        ("{{ x.__class__.__mro__ }}", "'__class__' of list cannot be read"),
        ("{{ range.__globals__ }}", "'__globals__' of"),
        ("{{ namespace(v=1).__class__ }}", "'__class__' of Namespace cannot be read"),
        ("{{ ''.format }}", "'format' of str cannot be read"),
        ("{{ x | attr('append') }}", "filter 'attr' is not known"),
        ("{{ x | map('upper') }}", "filter 'map' is not known"),
        ("{{ lipsum() }}", "--jinja lipsum=VALUE"),
        ("{{ self }}", "cannot be written"),
        ("{{ range(10) ~ range }}", "cannot be written"),
        ("{% for i in range(10 ** 9) %}{% endfor %}", "a range of 1,000,000,000 numbers"),
        ("{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}", "steps and characters"),
        ("{% for i in range(99999) %}" + "x" * 1000 + "{% endfor %}", "steps and characters"),
        ("{% macro m() %}" + "x" * 1000 + "{% endmacro %}{% for i in range(9999) %}{{ m() }}{% endfor %}", "steps"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "too deeply"),
        ("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", "too deeply"),
        ("{{ 'x' * 1000000000 }}", "only numbers can be multiplied"),
        ("{{ [0] * 1000000000 }}", "the list would be longer than 2000"),
        ("{{ [[0]] * 2 }}", "only numbers can be multiplied"),
        ("{{ '%1000000000d' % 1 }}", "text cannot be formatted"),
        ("{{ 9 ** (9 ** 9) }}", "bits"),
        ("{{ 'x' | indent(1000000000) }}", "an indent of 1000000000"),
        ("{{ ('x' * 2) }}", "only numbers"),
        ("{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}", "a text of"),
        ("{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}", "a text of"),
        ("{% set n = namespace(s='xx') %}{% for i in range(60) %}{% set n.s = n.s.replace('x', n.s) %}{% endfor %}",
         "a text of"),
        ("{% set n = namespace(l=[1]) %}{% for i in range(60) %}{% set n.l = [n.l, n.l] %}{% endfor %}", "parts"),
        ("{% set n = namespace(l=[1]) %}{% for i in range(60) %}{% set n.l = n.l + n.l %}{% endfor %}", "parts"),
        ("{% set n = namespace(l=['x' * 1]) %}", "only numbers"),
        ("{% set a %}" + "{{ 'y' }}" * 9 + "{% endset %}" + "".join(
            f"{{% set a{k} %}}" + f"{{{{ a{k - 1 if k else ''} }}}}" * 9 + "{% endset %}" for k in range(12)), "steps"),
        ("{{ 1 / 0 }}", "division"),
        ("{{ [1][7] }}", "list index"),
    ],
)  # fmt: skip
def test_templates_that_are_refused(text: str, message: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(HwsimError) as caught:
        rendered(text, x=[1])
    assert message in str(caught.value) and "t.yaml" in caught.value.where
    assert time.perf_counter() - begun < 20


def read(path: Path, *more: Path, **data: object) -> Field:
    return Sources([path, *more], data).read(path)


def test_files_that_are_taken_in(tmp_path: Path) -> None:
    """`include` gives a part, `include_all` a list of them, `include_text` text; the file's own folder comes first."""
    (tmp_path / "parts" / "deep").mkdir(parents=True)
    (tmp_path / "a.yaml").write_text("x: {y: beside}\n")
    (tmp_path / "parts" / "a.yaml").write_text("x: {y: added}\n")
    (tmp_path / "parts" / "only.yaml").write_text("x: {y: '{{ word }}'}\n")
    for name in ("c1", "c2"):
        (tmp_path / "parts" / "deep" / f"{name}.yaml").write_text(f"classes: [{{name: {name}}}]\n")
    (tmp_path / "parts" / "one").mkdir()
    (tmp_path / "parts" / "one" / "c.yaml").write_text("classes: [{name: c}]\n")
    (tmp_path / "parts" / "text.yaml").write_text("t: &t {a: 1}\n")
    top = tmp_path / "top.yaml.jinja2"
    top.write_text(
        """{{add_to_path(cwd() ~ '/parts')}}
{{include_text('text.yaml')}}
own: {{include('a.yaml', 'x.y')}}
only: {{include('only.yaml', 'x')}}
all: {{include_all('deep/*.yaml', 'classes')}}
single: {{include_all('one/*.yaml', 'classes')}}
found: "{{find_path('only.yaml')}}"
there: {{path_exists('only.yaml')}}
not: {{path_exists('nothing.yaml')}}
merged: {<<: *t, b: 2}
{{setenv('A', 1)}}
"""
    )
    with collected() as notes:
        document = read(top, word="given")
    found = plain_data(document.value)
    assert found["own"] == "beside" and found["only"] == {"y": "given"}
    assert found["all"] == [[{"name": "c1"}], [{"name": "c2"}]] and found["single"] == [{"name": "c"}]
    assert found["found"] == str((tmp_path / "parts" / "only.yaml").resolve())
    assert found["there"] is True and found["not"] is False and found["merged"] == {"a": 1, "b": 2}
    assert ["setenv('A') has no effect" in note for note in notes] == [True]
    assert document.key("all").items()[1].items()[0].key("name").where.endswith("c2.yaml: classes[0].name")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {{include('/etc/passwd')}}", "lies outside"),
        ("a: !include /etc/passwd", "lies outside"),
        ("a: !includedir /etc", "lies outside"),
        ("a: {{include_text('../secret.yaml')}}", "lies outside"),
        ("a: {{include_text('link.yaml')}}", "lies outside"),
        ("a: {{include_text('/*/*/*/*')}}", "lies outside"),
        ("{{add_to_path('..')}}", "lies outside"),
        ("a: {{find_path('../secret.yaml')}}", "lies outside"),
        ("a: {{include('none.yaml')}}", "'none.yaml' is neither beside this one"),
        ("a: {{include('other.yaml', 'x.z')}}", "'z' of 'x.z' is missing"),
        ("a: {{include('other.yaml', 'x.y.z')}}", "no mapping"),
        ("a: {{include('o*.yaml')}}", "include_all takes them all"),
        ("a: {{include('top.yaml')}}", "includes itself"),
        ("a: {{include_text('top.yaml')}}", "includes itself"),
        ("a: !include top.yaml", "includes itself"),
        ("a: {{include('pipe.yaml')}}", "it is a pipe"),
        ("a: {{include('folder')}}", "neither beside"),
        ("a: !include_loaded part7", "nothing was included under the name 'part7'"),
        ("a: !include [x]", "followed by a file's name"),
        ("a: {{include(7)}}", "expected the name of a file"),
    ],
)
def test_files_that_are_not_read(tmp_path: Path, text: str, message: str) -> None:
    """Only regular files below the folder; a link out of it, a pipe, the file itself are refused, at once."""
    folder = tmp_path / "given"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "secret.yaml").write_text("secret: 1\n")
    (folder / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (folder / "other.yaml").write_text("x: {y: 1}\n")
    (folder / "oth.yaml").write_text("x: {y: 1}\n")
    os.mkfifo(folder / "pipe.yaml")
    (folder / "top.yaml").write_text(text + "\n")
    with pytest.raises(HwsimError) as caught:
        read(folder / "top.yaml")
    assert message in str(caught.value) and "secret: 1" not in str(caught.value)


def test_the_folder_that_holds_all_files_may_be_read(tmp_path: Path) -> None:
    """As the layers of the field's exercises read the problem in the folder above them, beside a design elsewhere."""
    (tmp_path / "layers" / "net").mkdir(parents=True)
    (tmp_path / "designs").mkdir()
    (tmp_path / "layers" / "base.yaml").write_text("base_ignore: &base {a: [1], b: {c: 2, d: 3}}\n")
    layer = tmp_path / "layers" / "net" / "001.yaml"
    layer.write_text("{{include_text('../base.yaml')}}\nproblem:\n  <<<: *base\n  a: [0]\n  b: {c: 9}\n")
    design = tmp_path / "designs" / "arch.yaml"
    design.write_text("problem: {{include(layer, 'problem')}}\n")
    wanted = {"a": [0, 1], "b": {"c": 9, "d": 3}}
    assert plain_data(read(layer, design).value)["problem"] == wanted
    assert plain_data(read(design, layer=str(layer)).value)["problem"] == wanted
    with pytest.raises(HwsimError, match="name its folder with --include"):
        read(layer)
    assert plain_data(Sources([layer], folders=[tmp_path / "layers"]).read(layer).value)["problem"] == wanted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("!include beside.yaml\n\nx: *word", "of another file"),
        ("x: {<<: {a: 1, b: 2}, b: 3}", {"a": 1, "b": 3}),
        ("x: {<<: {l: [1]}, l: [2]}", {"l": [2]}),
        ("x: {<<<: {l: [1], m: {n: 1, o: 2}}, l: [2], m: {n: 3}}", {"l": [2, 1], "m": {"n": 3, "o": 2}}),
        ("x: {<<<: [{a: 1, l: [1]}, {a: 2, l: [2]}], l: [0]}", {"l": [0, 1, 2], "a": 1}),
        ("x: {<<<: {l: [1], m: {n: 1}}, l: !nomerge [2], m: !nomerge {}}", {"l": [2], "m": {}}),
        ("x: {<<<: {a: {b: 1}}, a: word}", {"a": "word"}),
        ("x: !nomerge {a: 1}", {"a": 1}),
        ("a: &k {n: 1}\nb: *k\nc: &k {n: 2}\nx: [*k]", [{"n": 2}]),
    ],
)
def test_merges(tmp_path: Path, text: str, expected: object) -> None:
    """``<<`` takes what is missing, ``<<<`` goes into mappings and appends to lists; `!nomerge` keeps out of both."""
    (tmp_path / "f.yaml").write_text(text + "\n")
    (tmp_path / "beside.yaml").write_text("ignored: &word of another file\n")
    assert plain_data(read(tmp_path / "f.yaml").value)["x"] == expected


def test_a_template_of_a_gigabyte(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.yaml"
    bomb.write_text(
        "{% for i in range(1000) %}{% for j in range(1000) %}{{ '0123456789' * 1 }}{% endfor %}{% endfor %}"
    )
    with pytest.raises(HwsimError, match="only numbers"):
        read(bomb)
    bomb.write_text("{% for i in range(1000) %}{% for j in range(1000) %}" + "0" * 1000 + "{% endfor %}{% endfor %}")
    with pytest.raises(HwsimError, match="steps and characters"):
        read(bomb)
    for k in range(30):
        (tmp_path / f"b{k}.yaml").write_text(f"{{{{include_text('b{k + 1}.yaml')}}}}\n" * 2)
    (tmp_path / "b30.yaml").write_text("x")
    with pytest.raises(HwsimError, match=r"deep|files are included"):
        read(tmp_path / "b0.yaml")
