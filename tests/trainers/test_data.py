"""Image sets: every layout decodes to the same arrays, and what is missing or broken is said."""

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hwsim.errors import HwsimError
from hwsim.trainers.data import open_dataset, split
from hwsim.trainers.data.sources import CIFAR10, FASHION, read_idx


def picture(value: int, size: int = 32) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


def idx(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWSIM_CACHE_DIR", str(tmp_path / "cache"))


def test_cifar10_zip_and_folder_agree(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "cifar10_small.zip", "w") as archive:
        for part in ("train", "test"):
            for k, name in enumerate(CIFAR10):
                file = f"cifar10/{part}/{name}/0000.png"
                archive.writestr(file, picture(20 * k + (part == "test")))
    with zipfile.ZipFile(tmp_path / "cifar10_small.zip") as archive:
        archive.extractall(tmp_path / "out")
    zipped = open_dataset("cifar10", tmp_path)
    again = open_dataset("cifar10", tmp_path / "cifar10_small.zip")  # the file itself; from the cache by now
    folder = open_dataset("cifar10", tmp_path / "out")
    for part in ("train", "test"):
        one, two, three = zipped.read(part), again.read(part), folder.read(part)
        assert one.pixels.shape == (10, 32, 32, 3)
        assert one.labels.tolist() == list(range(10))
        assert one.pixels[3, 0, 0, 0] == 60 + (part == "test")
        for other in (two, three):
            assert (one.pixels == other.pixels).all() and (one.labels == other.labels).all()
    assert zipped.classes == tuple(sorted(CIFAR10))


def test_fashion_labels_become_alphabetical(tmp_path: Path) -> None:
    pixels = np.arange(10 * 4, dtype=np.uint8).reshape(10, 2, 2)
    for prefix in ("train", "t10k"):
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pixels)))
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(np.arange(10, dtype=np.uint8)))
    found = open_dataset("fashion_mnist", tmp_path)
    images = found.read("test")
    assert images.pixels.shape == (10, 2, 2, 1)
    assert list(found.classes) == sorted(FASHION)
    assert [found.classes[k] for k in images.labels] == list(FASHION)


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"\1\2\3\4", "00 00 08"), (b"", "00 00 08"), (idx(np.zeros((2, 2), np.uint8))[:-1], "the file holds 3")],
)
def test_broken_idx(tmp_path: Path, data: bytes, said: str) -> None:
    file = tmp_path / "x"
    file.write_bytes(data)
    with pytest.raises(HwsimError, match=said):
        read_idx(file)


def test_food11_and_image_folder(tmp_path: Path) -> None:
    for part, names in (("training", ("0_1.png", "10_2.png", "0003.png")), ("evaluation", ("4_1.png",))):
        (tmp_path / part).mkdir()
        for name in names:
            (tmp_path / part / name).write_bytes(picture(9, 40))
    found = open_dataset("food11", tmp_path, 32)
    assert found.read("train").labels.tolist() == [-1, 0, 10]  # by file name; one without a class is unlabelled
    assert found.read("test").pixels.shape == (1, 32, 32, 3)
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / "own" / part / name).mkdir(parents=True)
            (tmp_path / "own" / part / name / "a.png").write_bytes(picture(1, 20))
    own = open_dataset("folder", tmp_path / "own")
    assert own.classes == ("cat", "dog")
    assert own.read("test").labels.tolist() == [0, 1]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    for name in ("cifar10", "food11"):
        with pytest.raises(HwsimError, match="--data-dir") as caught:
            open_dataset(name, tmp_path)
        assert str(tmp_path) in caught.value.where
    with pytest.raises(HwsimError, match="Did you mean 'cifar10'"):
        open_dataset("cifar", tmp_path)


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "cifar10.zip", "w") as archive:
        archive.writestr("cifar10/train/cat/0000.jpg", b"no picture")
    with pytest.raises(HwsimError, match=r"0000\.jpg"):
        open_dataset("cifar10", tmp_path).read("train")


def test_split_is_by_seed_and_without_overlap(tmp_path: Path) -> None:
    images = open_dataset("generated", tmp_path).read("train")
    train, validation = split(images, 100, 5)
    assert len(train) == len(images) - 100 and len(validation) == 100
    whole = {p.tobytes() for p in images.pixels}
    assert {p.tobytes() for p in train.pixels} | {p.tobytes() for p in validation.pixels} == whole
    assert (split(images, 100, 5)[1].pixels == validation.pixels).all()
    assert (split(images, 100, 6)[1].pixels != validation.pixels).any()
