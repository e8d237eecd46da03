"""Where image sets are found: archives, folders, IDX files and torchvision's own layouts.

Every source decodes to the same arrays, which are cached beside hwsim's other cached results under a name
made of the source's path, size and time, so that a set is decoded once.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import HwsimError, did_you_mean
from hwsim.files import cache_folder
from hwsim.trainers.data.images import Images, ImageSet

MAX_IMAGES = 2_000_000
MAX_IMAGE_BYTES = 50_000_000
PICTURES = {".jpg", ".jpeg", ".png", ".bmp"}
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
#: In the order of the published label numbers, which is not alphabetical.
FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
#: Food-11's file names begin with the class number.
FOOD11 = (
    "Bread", "Dairy product", "Dessert", "Egg", "Fried food", "Meat", "Noodles-Pasta", "Rice", "Seafood", "Soup",
    "Vegetable-Fruit",
)  # fmt: skip
SYSTEM_FASHION = Path("/usr/share/datasets/fashion-mnist")
Named = tuple[str, bytes]


def _cache_file(source: Path, key: str) -> Path:
    state = source.stat()
    text = f"{source.resolve()}|{state.st_size}|{state.st_mtime_ns}|{key}"
    return cache_folder() / "data" / (hashlib.sha256(text.encode()).hexdigest()[:32] + ".npz")


def _cached(source: Path, key: str, make: Callable[[], Images]) -> Images:
    file = _cache_file(source, key)
    try:
        with np.load(file, allow_pickle=False) as stored:
            return Images(stored["pixels"], stored["labels"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        images = make()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}.tmp.npz")
        np.savez(part, pixels=images.pixels, labels=images.labels)
        os.replace(part, file)
    except OSError:
        pass  # a cache that cannot be written only costs the next decoding
    return images


def _decode(files: Iterable[tuple[int, Named]], size: int | None, where: str) -> Images:
    """Decode pictures, given with their labels; all are resized where ``size`` is given."""
    from PIL import Image, UnidentifiedImageError

    pixels, labels = [], []
    for label, (name, data) in files:
        try:
            picture = Image.open(io.BytesIO(data)).convert("RGB")
            if size is not None and picture.size != (size, size):
                picture = picture.resize((size, size), Image.Resampling.BICUBIC)
        except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
            raise HwsimError(f"the picture '{name}' cannot be read: {error}.", where=where) from error
        pixels.append(np.asarray(picture))
        labels.append(label)
    if len({p.shape for p in pixels}) > 1:
        raise HwsimError(
            "the pictures differ in size; give the recipe a 'resolution', and all are resized.", where=where
        )
    return Images(np.stack(pixels), np.array(labels, dtype=np.int64))


def _read_zip(file: Path, prefix: str) -> Iterator[Named]:
    with zipfile.ZipFile(file) as archive:
        members = [m for m in archive.infolist() if m.filename.startswith(prefix) and not m.is_dir()]
        if len(members) > MAX_IMAGES:
            raise HwsimError(f"expected at most {MAX_IMAGES} pictures, found {len(members)}.", where=str(file))
        for member in sorted(members, key=lambda m: m.filename):
            if PurePosixPath(member.filename).suffix.lower() not in PICTURES:
                continue
            if member.file_size > MAX_IMAGE_BYTES:
                raise HwsimError(f"the picture '{member.filename}' is over {MAX_IMAGE_BYTES} bytes.", where=str(file))
            yield member.filename, archive.read(member)


def _read_folder(folder: Path) -> Iterator[Named]:
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in PICTURES and file.is_file():
            if file.stat().st_size > MAX_IMAGE_BYTES:
                raise HwsimError(f"the picture is over {MAX_IMAGE_BYTES} bytes.", where=str(file))
            yield str(file.relative_to(folder.parent)), file.read_bytes()


def _class_folders(files: Iterator[Named], classes: tuple[str, ...], where: str) -> Iterator[tuple[int, Named]]:
    for name, data in files:
        label = PurePosixPath(name).parent.name
        if label not in classes:
            raise HwsimError(f"unknown class folder '{label}'.{did_you_mean(label, classes)}", where=where)
        yield classes.index(label), (name, data)


def _zip_set(name: str, file: Path, root: str, classes: tuple[str, ...], size: int | None) -> ImageSet:
    def make(part: str) -> Images:
        return _decode(_class_folders(_read_zip(file, f"{root}{part}/"), classes, str(file)), size, str(file))

    return ImageSet(name, classes, str(file), cache(lambda s: _cached(file, f"{root}{s}{size}", lambda: make(s))))


def _folder_set(name: str, folder: Path, size: int | None) -> ImageSet:
    classes = tuple(sorted(p.name for p in (folder / "train").iterdir() if p.is_dir()))

    def make(part: str) -> Images:
        return _decode(_class_folders(_read_folder(folder / part), classes, str(folder)), size, str(folder))

    return ImageSet(name, classes, str(folder), cache(make))


# ---------------------------------------------------------------- CIFAR-10


def _cifar10(data_dir: Path, size: int | None) -> ImageSet | None:
    for file in [data_dir] if data_dir.is_file() else sorted(data_dir.glob("*cifar10*.zip")):
        if zipfile.is_zipfile(file):
            return _zip_set("cifar10", file, "cifar10/", CIFAR10, size)
    for folder in (data_dir / "cifar10", data_dir):
        if (folder / "train" / CIFAR10[0]).is_dir():
            return _folder_set("cifar10", folder, size)
    if (data_dir / "cifar-10-batches-py").is_dir():
        return _torchvision("cifar10", "CIFAR10", data_dir, CIFAR10, CIFAR10)
    return None


def _torchvision(name: str, kind: str, root: Path, numbered: tuple[str, ...], classes: tuple[str, ...]) -> ImageSet:
    """A set in torchvision's layout; torchvision checks the files' hashes before it opens them."""
    order = np.array([classes.index(c) for c in numbered])

    def make(part: str) -> Images:
        from torchvision import datasets

        found = getattr(datasets, kind)(str(root), train=part == "train")
        pixels = np.asarray(found.data)
        return Images(pixels.reshape(*pixels.shape[:3], -1), order[np.asarray(found.targets)])

    return ImageSet(name, classes, str(root), cache(make))


# ---------------------------------------------------------------- Fashion-MNIST (IDX files)


def read_idx(file: Path) -> NDArray[np.uint8]:
    """An IDX file of bytes, gzipped or not (format: yann.lecun.com/exdb/mnist).

    Raises:
        HwsimError: the header is not that of an array of bytes, or the file's length does not match it.
    """
    raw = file.read_bytes()
    try:
        data = gzip.decompress(raw) if file.suffix == ".gz" else raw
    except (OSError, EOFError) as error:
        raise HwsimError(f"the file is no gzip archive: {error}.", where=str(file)) from error
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise HwsimError("expected an IDX file of bytes (it begins with 00 00 08).", where=str(file))
    rank = data[3]
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", rank, 4))
    body = np.frombuffer(data, np.uint8, offset=4 + 4 * rank)
    if body.size != int(np.prod(shape, dtype=np.int64)):
        raise HwsimError(f"the header says {shape} elements, the file holds {body.size}.", where=str(file))
    return body.reshape(shape).copy()  # writable, unlike the file's bytes


def _idx_file(folder: Path, stem: str) -> Path | None:
    return next((f for f in (folder / stem, folder / f"{stem}.gz") if f.is_file()), None)


def _fashion(data_dir: Path, size: int | None) -> ImageSet | None:
    classes = tuple(sorted(FASHION))
    order = np.array([classes.index(c) for c in FASHION])
    for folder in (data_dir, data_dir / "FashionMNIST" / "raw", data_dir / "fashion-mnist", SYSTEM_FASHION):
        if _idx_file(folder, "train-images-idx3-ubyte") is None:
            continue

        def make(part: str, folder: Path = folder) -> Images:
            prefix = "train" if part == "train" else "t10k"
            pixels = _idx_file(folder, f"{prefix}-images-idx3-ubyte")
            labels = _idx_file(folder, f"{prefix}-labels-idx1-ubyte")
            if pixels is None or labels is None:
                raise HwsimError(f"the {part} split's IDX files are missing.", where=str(folder))
            return Images(read_idx(pixels)[..., None], order[read_idx(labels)])

        return ImageSet("fashion_mnist", classes, str(folder), cache(make))
    return None


# ---------------------------------------------------------------- Food-11


def _food11(data_dir: Path, size: int | None) -> ImageSet | None:
    """Food-11: ``training|validation|evaluation`` with ``CLASS_NNN.jpg``; classes 0…10 are alphabetical already."""
    for folder in (data_dir / "food-11", data_dir / "food11", data_dir):
        if not (folder / "training").is_dir():
            continue

        def label(name: str) -> int:
            head = PurePosixPath(name).name.partition("_")[0]
            return int(head) if head.isascii() and head.isdigit() and int(head) < len(FOOD11) else -1

        def make(part: str, folder: Path = folder) -> Images:
            parts = ("training", "validation") if part == "train" else ("evaluation", "testing")
            files = (f for p in parts if (folder / p).is_dir() for f in _read_folder(folder / p))
            return _decode(((label(n), (n, d)) for n, d in files), size or 128, str(folder))

        return ImageSet("food11", FOOD11, str(folder), cache(make))
    return None


# ---------------------------------------------------------------- generated


def _generated(data_dir: Path, size: int | None) -> ImageSet:
    """Small pictures of ten textures with noise: learnable, made from a seed, for tests."""
    side = size or 16
    classes = tuple(f"texture {k}" for k in range(10))

    def make(part: str) -> Images:
        rng = np.random.default_rng(1 if part == "train" else 2)
        count = 512 if part == "train" else 128
        labels = rng.integers(0, 10, count)
        y, x = np.mgrid[0:side, 0:side] / side
        angle = labels[:, None, None] * np.pi / 10
        wave = np.sin(2 * np.pi * 3 * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 6, (count, 1, 1)))
        noisy = 127 + 90 * wave[..., None] + rng.normal(0, 20, (count, side, side, 3))
        return Images(np.clip(noisy, 0, 255).astype(np.uint8), labels.astype(np.int64))

    return ImageSet("generated", classes, "generated from a seed", cache(make))


def _image_folder(data_dir: Path, size: int | None) -> ImageSet | None:
    return _folder_set("folder", data_dir, size) if (data_dir / "train").is_dir() else None


#: name → (how to open it under a folder, how a user gets it)
DATASETS: dict[str, tuple[Callable[[Path, int | None], ImageSet | None], str]] = {
    "cifar10": (
        _cifar10,
        "a zip cifar10*.zip with cifar10/{train,test}/CLASS/*.jpg, such a folder, or torchvision's "
        "cifar-10-batches-py (torchvision.datasets.CIFAR10(root, download=True) fetches it)",
    ),
    "fashion_mnist": (
        _fashion,
        "IDX files train-images-idx3-ubyte[.gz] and its three companions (Debian's package "
        "dataset-fashion-mnist, or torchvision.datasets.FashionMNIST(root, download=True))",
    ),
    "food11": (_food11, "folders training, validation, evaluation with pictures CLASS_NUMBER.jpg"),
    "folder": (_image_folder, "folders train/CLASS and test/CLASS with pictures"),
    "generated": (_generated, "nothing: it is made from a seed"),
}


def open_dataset(name: str, data_dir: Path, size: int | None = None) -> ImageSet:
    """Find an image set under a folder (or in a zip file).

    Args:
        name: a key of `DATASETS`.
        data_dir: folder to look in; for CIFAR-10 also the zip itself.
        size: pixels a side that pictures are resized to; None keeps them.

    Raises:
        HwsimError: the name is unknown, or nothing was found (says where it looked and how to get it).
    """
    if name not in DATASETS:
        raise HwsimError(f"unknown dataset '{name}'.{did_you_mean(name, DATASETS)}", where="dataset")
    find, wanted = DATASETS[name]
    found = find(data_dir, size)
    if found is None:
        raise HwsimError(f"no {name} found; expected {wanted}. Point --data-dir at it.", where=str(data_dir))
    return found
