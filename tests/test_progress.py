"""Progress of long commands where stderr is no terminal."""

from __future__ import annotations

import re

import pytest

from hwsim.cli import shared


def test_a_log_gets_a_line_with_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 10.0, 61.0, 70.0, 130.0])
    monkeypatch.setattr(shared.time, "monotonic", lambda: next(clock))
    with shared.progress_bar("training", lines=True) as tell:
        for done in (100, 151, 160, 230):  # resumed at 100
            tell(done, 1000, "epoch 3")
    out, err = capsys.readouterr()
    assert out == ""
    # 51 in 61 s leave 849, so 1015 s; 130 in 130 s leave 770
    assert err.splitlines() == [
        "training 151/1000 epoch 3 · 0:16:55 left",
        "training 230/1000 epoch 3 · 0:12:50 left",
    ]


def test_a_bar_is_silent_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with shared.progress_bar("mapping") as tell:
        tell(1, 2, "conv1")
    assert not re.search("mapping|conv1", "".join(capsys.readouterr()))
