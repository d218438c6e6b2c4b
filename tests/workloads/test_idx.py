"""IDX files that the test makes, whole and broken in every way; MNIST without a network."""

import gzip
import http.client
import struct
import urllib.error
from itertools import islice

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from workloads import data, idx, mlp_classification, optimizers

IMAGES, LABELS = b"\0\0\x08\x03", b"\0\0\x08\x01"


def packed(magic, sizes, content):
    return magic + struct.pack(f">{len(sizes)}I", *sizes) + bytes(content)


def image_bytes(count, rows=3, columns=5):
    return packed(IMAGES, (count, rows, columns), (i % 256 for i in range(count * rows * columns)))


def label_bytes(labels):
    return packed(LABELS, (len(labels),), labels)


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_gives_its_numbers_in_their_shape(write, pack):
    images = idx.read(write("images", pack(image_bytes(20))), 3)
    assert images.shape == (20, 3, 5) and images.dtype == torch.uint8
    assert images.flatten().tolist() == [i % 256 for i in range(300)]
    assert idx.read(str(write("labels", pack(label_bytes([7, 0, 255])))), 1).tolist() == [7, 0, 255]


def test_a_gzip_file_of_several_members_is_one(write):
    whole = image_bytes(4)
    parts = gzip.compress(whole[:30]) + gzip.compress(whole[30:])
    assert torch.equal(idx.read(write("parts", parts), 3), idx.read(write("whole", whole), 3))


BROKEN = {
    "nothing": (b"", "begins with nothing; an IDX file of images begins with 00000803"),
    "two bytes": (b"\0\0", "begins with 0000; an IDX file of images begins with 00000803"),
    "text": (b"5,0,4,1\n", "begins with 352c302c; an IDX file of images begins with 00000803"),
    "labels": (
        label_bytes([1, 2]),
        "begins with 00000801; an IDX file of images begins with 00000803",
    ),
    "floats": (
        packed(b"\0\0\x0d\x03", (1, 1, 1), b"\0\0\0\0"),
        "begins with 00000d03; an IDX file of images begins with 00000803",
    ),
    "half a header": (image_bytes(2)[:11], "cut short within its header"),
    "cut short": (
        image_bytes(2)[:-1],
        "cut short, 29 bytes of the 2 x 3 x 5 = 30 in its header",
    ),
    "no image": (
        packed(IMAGES, (0, 28, 28), b""),
        "empty, its header says 0 x 28 x 28; there must be images",
    ),
    "no pixel": (
        packed(IMAGES, (9, 0, 28), b""),
        "empty, its header says 9 x 0 x 28; there must be images",
    ),
    "too long": (image_bytes(2) + b"\0", "goes on after the 2 x 3 x 5 = 30 bytes in its header"),
    "a promise": (
        packed(IMAGES, (2**32 - 1,) * 3, b"\0"),
        "its header says 4294967295 x 4294967295 x 4294967295 = "
        f"{(2**32 - 1) ** 3} bytes; at most 2147483648 are read",
    ),
    "a smaller promise": (
        packed(IMAGES, (2**21, 32, 32), b"\0" * 5),
        "cut short, 5 bytes of the 2097152 x 32 x 32 = 2147483648 in its header",
    ),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_in_one_line(write, name, pack):
    content, message = BROKEN[name]
    path = write("file", pack(content))
    with pytest.raises(ValueError) as caught:
        idx.read(path, 3)
    assert str(caught.value) == f"{path}: {message}"


def test_gzip_that_is_cut_short_or_damaged_is_refused_in_one_line(write):
    noise = np.random.default_rng(0).bytes(60 * 50)
    whole = gzip.compress(packed(IMAGES, (60, 5, 10), noise))
    assert idx.read(write("whole", whole), 3).shape == (60, 5, 10)
    for end in (5, 20, len(whole) // 2, len(whole) - 1):
        path = write("short", whole[:end])
        with pytest.raises(ValueError) as caught:
            idx.read(path, 3)
        assert str(caught.value) == f"{path}: cut short within its gzip compression"
    # the method, the first block's type, a number
    for place, byte in ((2, 99), (10, 255), (len(whole) // 2, whole[len(whole) // 2] ^ 255)):
        path = write("damaged", whole[:place] + bytes([byte]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"damaged: its gzip compression is damaged: ."):
            idx.read(path, 3)


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path):
    for path, reason in (
        (tmp_path / "absent", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(ValueError) as caught:
            idx.read(path, 1)
        assert str(caught.value) == f"{path}: cannot be read as an IDX file of labels: {reason}"


@pytest.fixture
def pair(write):
    """Images of 3 x 5 pixels whose labels can be told from them; 50 of them, in 3 classes."""
    labels = [i % 3 for i in range(50)]
    pixels = [255 if pixel % 3 == label else 0 for label in labels for pixel in range(15)]
    return (
        write("images.gz", gzip.compress(packed(IMAGES, (50, 3, 5), pixels))),
        write("labels", label_bytes(labels)),
    )


def test_images_and_labels_are_split_and_stay_together(pair):
    train, validation = idx.files(*pair)
    assert (len(train), len(validation)) == (40, 10)
    for batch in (train, validation):
        assert batch.x.shape == (len(batch), 15) and batch.x.dtype == torch.float32
        assert batch.y.dtype == torch.int64
        expected = torch.arange(15) % 3 == batch.y[:, None]
        assert torch.equal(batch.x, expected.float())
    assert torch.cat([train.y, validation.y]).bincount().tolist() == [17, 17, 16]
    again = idx.files(*pair)
    assert all(torch.equal(a.x, b.x) for a, b in zip(again, (train, validation), strict=True))
    assert train.y.tolist() != sorted(train.y.tolist())  # shuffled: files are sorted often


def test_files_that_do_not_belong_together_are_refused(write):
    ten, labels = write("ten", image_bytes(10)), write("labels", label_bytes([0, 1] * 5))
    nine = write("nine", label_bytes([0, 1, 2] * 3))
    same, one = write("same", label_bytes([4] * 10)), write("one", image_bytes(1))
    for images, named, message in (
        (ten, nine, f"{ten} has 10 images and {nine} 9 labels: must be as many"),
        (ten, same, f"{same}: every label is 4; there must be two classes"),
        (
            one,
            write("single", label_bytes([0])),
            f"{one}: 1 image; there must be 2, for training and validation",
        ),
        (
            labels,
            ten,
            f"{labels}: begins with 00000801; an IDX file of images begins with 00000803",
        ),
    ):
        with pytest.raises(ValueError) as caught:
            mlp_classification.from_files(images, named)
        assert str(caught.value) == message


@pytest.mark.parametrize("count", [2, 4])
def test_a_few_images_are_enough(write, count):
    images = write("images", image_bytes(count))
    labels = write("labels", label_bytes([0, 1] * (count // 2)))
    train, validation = idx.files(images, labels)
    assert (len(train), len(validation)) == (count - 1, 1)
    workload = mlp_classification.from_files(images, labels)
    assert next(data.batches(train, workload.batch_size, seed=0)).y.shape == (count - 1,)


def test_the_perceptron_takes_its_size_from_the_files_and_learns_them(pair):
    workload = mlp_classification.from_files(*pair)
    train, validation = workload.data()
    assert workload.data().train is train
    model = workload.model(0)
    assert model(train.x).shape == (40, 3)
    assert workload.max_steps == 30 * 2 and workload.batch_size == 32
    with FlopCounterMode(display=False) as forward:
        loss = workload.loss(model, train)
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    assert forward.get_total_flops() == 40 * workload.flops.forward
    assert backward.get_total_flops() == 40 * workload.flops.backward
    step = optimizers.make(workload.optimizer, model, workload.loss, workload.learning_rate)
    for batch in islice(data.batches(train, workload.batch_size, 0), workload.max_steps):
        step(batch)
    assert workload.target.reached(workload.metric(model, validation).item())


def test_the_digits_are_as_before():
    shapes = [tuple(p.shape) for p in mlp_classification.WORKLOAD.model(0).parameters()]
    assert shapes == [(128, 64), (128,), (128, 128), (128,), (10, 128), (10,)]


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    idx.mnist.cache_clear()
    yield tmp_path
    idx.mnist.cache_clear()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (urllib.error.URLError("Name or service not known"), "Name or service not known"),
        (TimeoutError("timed out"), "timed out"),
        (http.client.RemoteDisconnected("closed without response"), "closed without response"),
        (http.client.IncompleteRead(b"abc"), "IncompleteRead(3 bytes read)"),
    ],
)
def test_mnist_offline_is_one_line(no_cache, monkeypatch, error, reason):
    def offline(*args, **kwargs):
        raise error

    monkeypatch.setattr("sklearn.datasets._openml.urlopen", offline)
    with pytest.raises(ConnectionError) as caught:
        mlp_classification.mnist()
    assert str(caught.value) == (
        f"MNIST is not in {no_cache} and cannot be downloaded ({reason}): go online once, or "
        "give files of your own with --images and --labels"
    )


@pytest.mark.parametrize("home", ["/proc/nowhere", "file", "/proc"])
def test_a_cache_that_cannot_be_written_is_one_line(no_cache, monkeypatch, tmp_path, home):
    (tmp_path / "file").write_text("")
    home = str(tmp_path / home)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", home)
    monkeypatch.setattr("sklearn.datasets._openml.urlopen", None)
    with pytest.raises(
        OSError, match=f"MNIST is kept in {home}, which cannot be written"
    ) as caught:
        mlp_classification.mnist()
    assert "SCIKIT_LEARN_DATA, or give files of your own with --images" in str(caught.value)


def test_mnist_is_split_as_published_and_its_size_is_taken_from_it(no_cache, monkeypatch):
    pixels = np.arange(70_000 * 4).reshape(70_000, 4) % 256
    asked = []

    def fetch(name, **options):
        asked.append((name, options["version"], options["return_X_y"]))
        return pixels, np.array([str(i % 10) for i in range(70_000)], dtype=object)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    workload = mlp_classification.mnist()
    train, validation = workload.data()
    assert asked == [("mnist_784", 1, True)]
    assert (len(train), len(validation)) == (60_000, 10_000)
    assert torch.equal(train.x, torch.from_numpy(pixels[:60_000]).float() / 255)
    assert torch.equal(validation.y, torch.arange(60_000, 70_000) % 10)
    assert train.x.dtype == torch.float32 and train.y.dtype == torch.int64
    assert workload.model(0)(validation.x[:2]).shape == (2, 10)
    assert workload.flops.forward == 2 * (4 * 128 + 128 * 128 + 128 * 10)
    assert workload.max_steps == 30 * 1875
    assert workload.name == "mlp_classification/mnist"
