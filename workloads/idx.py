"""Larger real data: the user's own images in IDX files, and MNIST from OpenML.

IDX is the format of MNIST (LeCun, Cortes & Burges 1998), Fashion-MNIST and EMNIST: two bytes of 0,
one for the kind of number (8: unsigned bytes), one for the number of dimensions, the size of each
in four bytes with the highest first, then the numbers. Images have three dimensions, labels one.
Files may be compressed by gzip. Nothing in a file is believed before it has been read: a header
that promises much makes nobody set memory aside for it.
"""

from __future__ import annotations

import errno
import functools
import gzip
import http.client
import math
import os
import struct
import warnings
import zlib
from typing import BinaryIO

import torch
from torch import Tensor

from workloads.spec import Batch, Data

Path = str | os.PathLike[str]

UNSIGNED_BYTES = 8
LARGEST = 2**31  # bytes in a file; the largest of EMNIST's has 547 MB
CHUNK = 2**20  # bytes
_UNWRITABLE = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC),
    *(errno.ENOENT, errno.ENOTDIR, errno.EEXIST),
)
_OWN = "give files of your own with --images and --labels"
VALIDATION_SHARE = 5  # one image of so many is held out


def read(path: Path, dimensions: int) -> Tensor:
    """The numbers in an IDX file of unsigned bytes.

    Args:
        path: of the file, which may be compressed by gzip.
        dimensions: how many it has to have: 3 for images, 1 for labels.

    Returns:
        uint8 [count] or [count, rows, columns], none of them 0.

    Raises:
        ValueError: there is no such file, or it is not such an IDX file, cut short, empty, too
            long or larger than 2 GiB; in one line that names it.
    """
    what = {1: "labels", 3: "images"}.get(dimensions, f"{dimensions} dimensions")
    try:
        with open(path, "rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not compressed:
                return _read(file, path, dimensions, what)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read(unpacked, path, dimensions, what)
    except EOFError:
        raise ValueError(f"{path}: cut short within its gzip compression") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: its gzip compression is damaged: {error}") from None
    except OSError as error:
        raise ValueError(
            f"{path}: cannot be read as an IDX file of {what}: {error.strerror or error}"
        ) from None


def _read(file: BinaryIO | gzip.GzipFile, path: Path, dimensions: int, what: str) -> Tensor:
    magic = bytes([0, 0, UNSIGNED_BYTES, dimensions])
    begins = file.read(4)
    if begins != magic:
        raise ValueError(
            f"{path}: begins with {begins.hex() or 'nothing'}; "
            f"an IDX file of {what} begins with {magic.hex()}"
        )
    header = file.read(4 * dimensions)
    if len(header) < 4 * dimensions:
        raise ValueError(f"{path}: cut short within its header")
    sizes = struct.unpack(f">{dimensions}I", header)
    shape, count = " x ".join(map(str, sizes)), math.prod(sizes)
    if count == 0:
        raise ValueError(f"{path}: empty, its header says {shape}; there must be {what}")
    if count > LARGEST:
        raise ValueError(
            f"{path}: its header says {shape} = {count} bytes; at most {LARGEST} are read"
        )
    content = bytearray()
    while len(content) < count:
        part = file.read(min(CHUNK, count - len(content)))
        if not part:
            raise ValueError(
                f"{path}: cut short, {len(content)} bytes of the {shape} = {count} in its header"
            )
        content += part
    if file.read(1):
        raise ValueError(f"{path}: goes on after the {shape} = {count} bytes in its header")
    return torch.frombuffer(content, dtype=torch.uint8).reshape(sizes)


def files(images: Path, labels: Path) -> Data:
    """Images and their labels from two IDX files; a fifth is held out, drawn with seed 0.

    Args:
        images: path of a file with as many images as `labels` has labels.
        labels: path of a file with numbers from 0; at least two different ones.

    Returns:
        x float32 [n, rows * columns] in [0, 1]; y int64 [n].

    Raises:
        ValueError: as `read` does; or they differ in number, there is but one image, or one
            class.
    """
    x, y = read(images, 3), read(labels, 1)
    if len(x) != len(y):
        raise ValueError(
            f"{images} has {len(x)} images and {labels} {len(y)} labels: must be as many"
        )
    if len(x) < 2:
        raise ValueError(f"{images}: 1 image; there must be 2, for training and validation")
    if (y == y[0]).all():
        raise ValueError(f"{labels}: every label is {y[0].item()}; there must be two classes")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    held_out = max(1, len(x) // VALIDATION_SHARE)
    return Data(
        *(_batch(x[part], y[part]) for part in (order[held_out:], order[:held_out])),
    )


@functools.cache
def mnist() -> Data:
    """MNIST's 60,000 handwritten digits for training, and 10,000 for validation.

    Downloaded once, 15 MB, into scikit-learn's cache (~/scikit_learn_data, or where the
    environment's SCIKIT_LEARN_DATA says), and read from there afterwards.

    Source: LeCun, Cortes & Burges 1998; https://www.openml.org/d/554.

    Returns:
        x float32 [n, 784] in [0, 1]; y int64 [n], 0 to 9.

    Raises:
        OSError: the cache cannot be written; or, as ConnectionError, it is not there and cannot be
            downloaded; in one line.
    """
    from sklearn.datasets import fetch_openml

    home = os.path.expanduser(os.environ.get("SCIKIT_LEARN_DATA") or "~/scikit_learn_data")
    try:
        os.makedirs(home, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning for each attempt, and an error at the end
            x, y = fetch_openml(
                "mnist_784", version=1, as_frame=False, return_X_y=True, n_retries=1
            )
    except (OSError, http.client.HTTPException) as error:
        number = getattr(error, "errno", None)
        if number in _UNWRITABLE:
            raise OSError(
                f"MNIST is kept in {home}, which cannot be written ({os.strerror(number)}): "
                f"name another folder in SCIKIT_LEARN_DATA, or {_OWN}"
            ) from None
        reason = getattr(error, "reason", None) or error
        raise ConnectionError(
            f"MNIST is not in {home} and cannot be downloaded ({reason}): go online once, or {_OWN}"
        ) from None
    pixels, digits = torch.from_numpy(x), torch.from_numpy(y.astype("int64"))
    return Data(
        _batch(pixels[:60_000], digits[:60_000]),
        _batch(pixels[60_000:], digits[60_000:]),
    )


def _batch(images: Tensor, labels: Tensor) -> Batch:
    return Batch(images.flatten(1).float() / 255, labels.long())
