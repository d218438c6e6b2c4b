"""The path of large half-precision products on Hopper; interpreted where there is no GPU."""

import importlib

import pytest
import torch

import kernels
from harness.compile import SHARED_LIMIT
from kernels import _launch, _product
from kernels._tiles import quickest
from kernels.tuning import Config
from tests.kernels.products import BFLOAT16, check, random
from tests.kernels.rule import assert_close_as_torch

module = importlib.import_module("kernels.matmul")


@pytest.fixture
def hopper(device, monkeypatch):
    """Sends all that descriptors can describe to Hopper's kernel; which took it, which did not."""
    if device == "cuda" and _launch.architecture(torch.empty(0, device=device)) != "sm_90":
        pytest.skip("needs a Hopper or Blackwell GPU")
    shapes, launch = [], _product.launch
    monkeypatch.setattr(_launch, "architecture", lambda operand: "sm_90")
    monkeypatch.setattr(_product, "shape_class", lambda M, N, K: "large")
    monkeypatch.setattr(_product, "quickest", lambda *sizes: "tma")
    monkeypatch.setattr(
        _product,
        "launch",
        lambda a, b, out, shape, tile: (
            shapes.append("tma" if shape == "tma" else "plain"),
            launch(a, b, out, shape, tile),
        ),
    )
    return shapes


@pytest.fixture(params=[False, True], ids=["whole", "in halves"])
def stored(request, monkeypatch):
    """Tiles of c are stored whole, as by default, or in halves, as an alternative has it."""
    if request.param:
        (tile,) = filter(_product.in_halves, _product.candidates("sm_90", "half", "tma"))
        monkeypatch.setattr(_product, "chosen", lambda kernel, key, allowed, device: tile)


def padded(matrix):
    """The same matrix in rows of a multiple of 8, NaN past its end."""
    rows, columns = matrix.shape
    around = matrix.new_full((rows, columns + -columns % 8), torch.nan)
    around[:, :columns] = matrix
    return around[:, :columns]


# One tile, several a program, several groups of rows: tiles are 128 x 256 in groups of 8 rows.
# The right half of each row's last tile lies past the edge but for 520 columns.
@pytest.mark.parametrize(
    "sizes", [(24, 40, 32), (136, 264, 72), (520, 520, 24), (1160, 264, 40)], ids=str
)
@pytest.mark.parametrize("dtype", [torch.float16, BFLOAT16], ids=str)
def test_hopper_forward_and_gradients_of_each_layout(device, hopper, stored, sizes, dtype):
    M, N, K = sizes
    a, b = random(device, dtype, M, K), random(device, dtype, K, N, seed=1)
    check(a, b)
    check(a.t().contiguous().t(), b.t().contiguous().t())
    assert hopper == ["tma"] * 6


def test_hopper_reads_and_writes_nothing_past_ragged_edges(device, hopper, stored):
    a, b = random(device, torch.float16, 131, 67), random(device, torch.float16, 67, 259, seed=1)
    around = torch.full((131, 264), 7.0, dtype=torch.float16, device=device)
    for left in (padded(a), padded(a.t()).t()):
        for right in (padded(b), padded(b.t()).t()):
            around.fill_(7)
            module._product(left, right, around[:, :259])
            true = a.cpu().double() @ b.cpu().double()
            assert_close_as_torch(around[:, :259], true, a @ b, module.magnitude(a, b))
            assert (around[:, 259:] == 7).all()
    assert hopper == ["tma"] * 4


@pytest.mark.parametrize(
    "spoil",
    {
        "row not of 16 bytes": lambda t: t[:, :-1].contiguous(),
        "starts off 16 bytes": lambda t: t[:, 1:],
        "every other column": lambda t: t[:, ::2],
        "expanded": lambda t: t[:1].expand(*t.shape),
        "overlapping": lambda t: t.flatten().as_strided(t.shape, (8, 1)),
    }.items(),
    ids=lambda item: item[0],
)
def test_what_a_descriptor_cannot_describe_takes_the_plain_kernel(device, hopper, spoil):
    a = spoil[1](random(device, torch.float16, 32, 48))
    check(a, random(device, torch.float16, a.shape[1], 24, seed=1))
    assert hopper[0] == "plain"


def test_a_transposed_output_takes_the_plain_kernel(device, hopper):
    a, b = random(device, torch.float16, 32, 48), random(device, torch.float16, 48, 24, seed=1)
    c = torch.empty(24, 32, dtype=torch.float16, device=device).t()
    module._product(a, b, c)
    true = a.cpu().double() @ b.cpu().double()
    assert_close_as_torch(c, true, a @ b, module.magnitude(a, b))
    assert hopper == ["plain"]


def test_hopper_without_products(device, hopper):
    a, b = (torch.ones(s, dtype=torch.float16, device=device) for s in ((24, 0), (0, 32)))
    assert not kernels.matmul(a, b).any() and hopper == ["plain"]


def test_hopper_gradient_of_no_rows(device, hopper):
    """a^T dc of no rows: their strides are those that a descriptor needs, but nothing is there."""
    a, b, grad = (random(device, torch.float16, *size) for size in ((0, 64), (64, 32), (0, 32)))
    kernels.matmul(a, b.requires_grad_()).backward(grad)
    assert not b.grad.any() and hopper == ["plain"]


@pytest.mark.parametrize(
    ("sizes", "dtype", "architecture", "shape"),
    [
        ((2048, 2048, 64), torch.float16, "sm_90", "tma"),
        ((2056, 2048, 8), torch.bfloat16, "sm_90", "tma"),
        ((2048, 2048, 64), torch.float16, "sm_80", "large"),
        ((2048, 2048, 64), torch.float32, "sm_90", "large"),
        ((2048, 2049, 64), torch.float16, "sm_90", "ragged"),
        ((2048, 2040, 64), torch.float16, "sm_90", "tma"),
        ((2048, 2047, 64), torch.float16, "sm_90", "small"),
        ((2048, 1024, 64), torch.float16, "sm_90", "tma narrow"),
        ((2048, 1024, 64), torch.float16, "sm_80", "small"),
        ((2048, 1024, 64), torch.float32, "sm_90", "small"),
        ((512, 512, 64), torch.float16, "sm_90", "small"),
        ((16, 2**20, 64), torch.float16, "sm_90", "skinny"),
    ],
    ids=str,
)
def test_large_half_products_go_to_hoppers_kernel(monkeypatch, sizes, dtype, architecture, shape):
    M, N, K = sizes
    monkeypatch.setattr(_launch, "architecture", lambda operand: architecture)
    monkeypatch.setattr(_launch, "multiprocessors", lambda operand: 132)
    a, b, out = (torch.empty(s, dtype=dtype) for s in ((M, K), (K, N), (M, N)))
    arithmetic = "ieee" if dtype == torch.float32 else "half"
    tile = _product.CONFIGS[architecture][arithmetic, shape]
    assert _product.select(a, b, out) == (shape, tile)


@pytest.mark.parametrize("architecture", _product.CONFIGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("which", ["a", "b", "out"])
def test_a_view_that_is_read_or_written_narrowly_takes_the_tiles_for_it(
    monkeypatch, architecture, dtype, which
):
    """All sizes are whole: with the large tiles the addresses would not fit into registers."""
    monkeypatch.setattr(_launch, "architecture", lambda operand: architecture)
    monkeypatch.setattr(_launch, "multiprocessors", lambda operand: 132)
    sizes = {"a": (2048, 64), "b": (64, 2048), "out": (2048, 2048)}
    whole = {name: torch.empty(size, dtype=dtype) for name, size in sizes.items()}
    rows, columns = sizes[which]
    for narrow in (
        torch.empty(rows, columns + 1, dtype=dtype)[:, 1:],
        torch.empty(columns, rows + 1, dtype=dtype)[:, :-1].t(),
        torch.empty(rows * columns + 1, dtype=dtype)[1:].view(rows, columns),
        torch.empty(rows, 2 * columns, dtype=dtype)[:, ::2],
        torch.empty(1, 1, dtype=dtype).expand(rows, columns),
    ):
        assert _product.select(**{**whole, which: narrow})[0] == "ragged"
    if dtype == torch.float32 or architecture == "sm_80":
        transposed = torch.empty(columns, rows, dtype=dtype).t()
        for wide in (transposed, torch.empty(rows, columns + 16, dtype=dtype)[:, 16:]):
            assert _product.select(**{**whole, which: wide})[0] == "large"


def test_a_tile_is_stored_in_halves_only_where_the_stages_leave_no_room():
    every = [
        t for name in ("tma", "tma narrow") for t in _product.candidates("sm_90", "half", name)
    ]
    assert [t for t in every if _product.in_halves(t)] == [Config(128, 256, 64, 8, 4)]
    for tile in every:
        c = tile.BLOCK_M * tile.BLOCK_N // (1 + _product.in_halves(tile))
        stages = tile.num_stages * (tile.BLOCK_M + tile.BLOCK_N) * tile.BLOCK_K
        assert 2 * (c + stages) < SHARED_LIMIT["sm_90"]


@pytest.mark.parametrize(
    ("M", "N", "multiprocessors", "name"),
    [
        (4096, 4096, 132, "wide"),  # 4 rounds of 384 against 8 of 256
        (2048, 1024, 132, "narrow"),  # 64 wide tiles would leave half of them idle
        (2048, 1024, 66, "wide"),
        (1, 1, 132, "narrow"),
        (0, 0, 132, "wide"),  # all equal: the first
    ],
)
def test_the_quickest_tile_reads_least_on_the_busiest_multiprocessor(M, N, multiprocessors, name):
    tiles = {"wide": Config(128, 256, 64, 8, 3), "narrow": Config(128, 128, 64, 8, 4)}
    assert quickest(M, N, multiprocessors, tiles) == name
