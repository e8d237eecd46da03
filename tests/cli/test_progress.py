"""Progress of long commands where stderr is no terminal."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from hwsim.cli import shared


def test_a_log_gets_a_line_with_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 10.0, 61.0, 70.0, 130.0, 140.0, 150.0, 200.0])
    monkeypatch.setattr(shared, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with shared.progress_bar("training", lines=True) as tell:
        for done in (100, 151, 160, 230):  # resumed at 100, told of at 10 s
            tell(done, 1000, "epoch 3")
        tell(5, 1000, "epoch 1")  # another training
        tell(1, 50, "evaluating")
        tell(26, 50, lambda: "evaluating")
    out, err = capsys.readouterr()
    assert out == ""
    # 51 in 51 s leave 849; 130 in 120 s leave 770, so 710 s; 25 in 50 s leave 24, so 48 s
    assert err.splitlines() == [
        "training 151/1000 epoch 3 · 0:14:09 left",
        "training 230/1000 epoch 3 · 0:11:50 left",
        "training 26/50 evaluating · 0:00:48 left",
    ]


def test_a_bar_is_silent_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with shared.progress_bar("mapping") as tell:
        tell(1, 2, "conv1")
    assert not re.search("mapping|conv1", "".join(capsys.readouterr()))
