"""The trainers' tests need the `train` extra, generated data and no download; without it they are skipped."""

import importlib.util

import pytest

MISSING = [name for name in ("torch", "torchvision", "onnxscript", "onnxruntime") if not importlib.util.find_spec(name)]
collect_ignore_glob: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if MISSING:
        skip = pytest.mark.skip(reason=f"the train extra is not installed: no {', '.join(MISSING)}")
        for item in items:
            if "tests/trainers" in str(item.path):
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def one_thread_one_seed() -> None:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)  # a test that builds a network builds the same one every time
