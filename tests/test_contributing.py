"""The examples of CONTRIBUTING.md run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = {
    title: code
    for title, section in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    for code in re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
}


def test_there_are_some() -> None:
    assert len(EXAMPLES) == TEXT.count("```python") >= 6


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example(title: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", EXAMPLES[title]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    first, _, _ = run.stdout.partition("\n")
    shown = {"A command": "hello world", "A format of reports": "name\top\tproblem\tdims\tcount\tmacs\tcycles"}
    assert first.startswith(shown.get(title, "")) and bool(first) == (title in shown)
