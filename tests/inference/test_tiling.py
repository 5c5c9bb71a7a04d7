from __future__ import annotations

import logging
import os
import resource
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
import torch
from tiny_weights import save_tiny_weights
from torch import Tensor, nn

import vheatir
import vheatir.inference.memory
import vheatir.inference.restorer
from vheatir.data.degradations import encode_jpeg
from vheatir.inference.memory import free_bytes, is_out_of_memory, largest_tile
from vheatir.inference.network import RestorationNetwork
from vheatir.inference.restorer import DEFAULT_TILE
from vheatir.inference.tiling import axis_tiles, restore_in_bands, restore_in_tiles
from vheatir.weights.file import ModelName, WeightsHeader, read_header

Array = npt.NDArray[Any]


class Small(nn.Module):
    """Runs out of memory on sides over ``limit``; adds 1/4; remembers sizes and places (by the pixels' own values)."""

    def __init__(self, limit: int, error: Exception) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.limit = limit
        self.error = error
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        self.sizes.append(tuple(x.shape[-2:]))
        if max(x.shape[-2:]) > self.limit:
            raise self.error
        return x + 0.25


CPU_ERROR = RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")


def as_model(network: nn.Module) -> RestorationNetwork:
    return RestorationNetwork(
        network, WeightsHeader("denoise-gray", {"sigma": (0.0, 55.0)}, "VHeatIR", {}, {}, "CC0-1.0")
    )


# ------------------------------------------------------------------------------------------------------- the tiles


@pytest.mark.parametrize("length", [1, 7, 64, 65, 100, 127, 128, 129, 500, 1001])
@pytest.mark.parametrize(("tile", "overlap"), [(64, 32), (64, 0), (72, 8), (128, 33), (512, 32)])
def test_tiles_cover_an_axis_on_the_grid_and_their_shares_sum_to_one(length: int, tile: int, overlap: int) -> None:
    tiles = axis_tiles(length, tile, overlap)
    total = np.zeros(length)
    for piece in tiles:
        assert piece.start % 8 == 0
        assert 0 < piece.stop - piece.start <= tile
        total[piece.start : piece.stop] += piece.weight
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert (tiles[0].start, tiles[-1].stop) == (0, length)
    for one, other in pairwise(tiles):
        assert one.stop - other.start >= overlap


def test_no_more_tiles_than_needed_and_none_larger_than_needed() -> None:
    assert [(piece.start, piece.stop) for piece in axis_tiles(600, 512, 32)] == [(0, 320), (280, 600)]
    assert len(axis_tiles(1000, 128, 32)) == 11  # 10 steps of 96 pixels and the first 128 reach 1088, 9 only 992


def test_the_share_falls_smoothly_to_the_joint() -> None:
    weight = axis_tiles(200, 128, 32)[0].weight
    ramp = weight[weight < 1]
    assert bool((ramp[1:] <= ramp[:-1]).all())
    assert float(np.abs(np.diff(weight)).max()) < 0.1
    shared = 128 - axis_tiles(200, 128, 32)[1].start
    assert bool((weight[128 - shared // 4 :] == 0).all())  # next to its edge, a tile counts for nothing


@pytest.mark.parametrize(("tile", "overlap"), [(64, -8), (64, 64), (4, 0), (64, 57)])
def test_overlaps_that_leave_no_tile_are_refused(tile: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="less than the tile"):
        axis_tiles(500, tile, overlap)


def test_what_is_local_comes_back_exactly() -> None:
    x = np.random.default_rng(0).random((2, 3, 150, 217), dtype=np.float32)
    np.testing.assert_allclose(restore_in_tiles(lambda t: t * 2 + 1, x, tile=64, overlap=16), x * 2 + 1, rtol=1e-6)


def test_rows_are_written_once_each_from_top_to_bottom() -> None:
    written: list[tuple[int, int]] = []
    count = restore_in_bands(
        lambda rows, columns: np.zeros((1, 1, rows.stop - rows.start, columns.stop - columns.start), np.float32),
        lambda x: x,
        lambda top, rows: written.append((top, rows.shape[-2])),
        height=300,
        width=90,
        tile=64,
        overlap=40,
    )
    assert [top for top, _ in written] == [sum(n for _, n in written[:i]) for i in range(len(written))]
    assert sum(n for _, n in written) == 300
    assert (len(written), count) == (11, 33)


def test_joints_do_not_show(tmp_path: Path) -> None:
    """A network with a receptive field: tiled and whole differ by less than 1/255 at every joint."""
    model = vheatir.load_model(save_tiny_weights(tmp_path / "a.safetensors", "denoise-gray"))
    image = skimage.data.camera()[:160, :200].astype(np.float32) / 255
    whole, tiled = (vheatir.Restorer("denoise", model=model, tile=tile).restore(image, sigma=25) for tile in (4096, 96))
    assert not np.array_equal(whole, tiled)
    assert np.abs(whole - tiled).max() < 1 / 255


@pytest.mark.parametrize(
    ("task", "level"), [("denoise-gray", 25), ("denoise-gray", 50), ("denoise-color", 25), ("jpeg-gray", 10)]
)
def test_joints_do_not_show_with_the_bundled_weights(task: ModelName, level: float) -> None:
    """Real images, tiles of the default size: no pixel differs by 1/255 from the whole image's result."""
    image = (skimage.data.camera() if task.endswith("gray") else skimage.data.astronaut())[:, :264]
    clean = np.concatenate((image, image[::-1], image[:100]))  # higher than a tile
    assert len(clean) > DEFAULT_TILE
    if task.startswith("denoise"):
        noise = np.random.default_rng(0).normal(0, level / 255, clean.shape)
        degraded = (clean / 255 + noise).astype(np.float32)
    else:
        degraded = (encode_jpeg(clean, int(level)) / 255).astype(np.float32)
    degradation = task.split("-")[0]
    given = {"sigma" if degradation == "denoise" else "quality": level}
    whole, tiled = (
        vheatir.Restorer(degradation, model=task, tile=tile, device="cpu").restore(degraded, **given)  # type: ignore[arg-type]
        for tile in (4096, DEFAULT_TILE)
    )
    assert not np.array_equal(whole, tiled)
    assert np.abs(whole - tiled).max() < 1 / 255


# ------------------------------------------------------------------------------------------------------ out of memory


@pytest.mark.parametrize("error", [CPU_ERROR, torch.OutOfMemoryError("CUDA out of memory.")])
def test_memory_that_runs_out_halves_the_tile(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    network = Small(100, error)
    image = np.random.default_rng(0).random((300, 200)).astype(np.float32) / 2
    with caplog.at_level(logging.WARNING, logger="vheatir"):
        restored = vheatir.Restorer("denoise", model=as_model(network), tile=4096).restore(image, sigma=5)
    np.testing.assert_allclose(restored, image + 0.25, atol=1e-6)
    assert [max(size) for size in network.sizes[:2]] == [300, max(network.sizes[1])]
    assert all(max(size) <= 100 for size in network.sizes[3:])  # what is known is not tried again
    assert caplog.messages[0] == "out of memory at tiles of 300 pixels: trying 144"


def test_at_the_floor_the_error_is_the_callers() -> None:
    network = Small(32, CPU_ERROR)
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        vheatir.Restorer("denoise", model=as_model(network)).restore(np.zeros((200, 200), np.uint8), sigma=5)
    assert min(max(size) for size in network.sizes) == 64


def test_other_errors_are_not_taken_for_it() -> None:
    network = Small(32, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        vheatir.Restorer("denoise", model=as_model(network)).restore(np.zeros((200, 200), np.uint8), sigma=5)
    assert len(network.sizes) == 1
    assert not is_out_of_memory(ValueError("DefaultCPUAllocator"))


@pytest.mark.parametrize("task", ["denoise-gray", "photo"])
def test_the_tile_follows_the_free_memory(task: ModelName, tmp_path: Path) -> None:
    header = read_header(save_tiny_weights(tmp_path / "weights.safetensors", task))
    sides = [largest_tile(header, int(gibibytes * 2**30)) for gibibytes in (0.001, 0.1, 0.4, 1.6)]
    assert all(side % 8 == 0 for side in sides)
    assert sides[0] >= 64
    assert sides[2] / sides[1] == pytest.approx(2, rel=0.02)
    assert largest_tile(header, int(1.6 * 2**30), images=4) == pytest.approx(sides[2], abs=8)


def test_free_memory_is_less_than_the_machine_has() -> None:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < free_bytes() < total


def test_the_limit_of_a_container_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    group = {"/sys/fs/cgroup/memory.max": "3000000", "/sys/fs/cgroup/memory.current": "1000000"}
    monkeypatch.setattr(vheatir.inference.memory, "_first_line", lambda path: group[path])
    assert free_bytes() == 2_000_000


def test_a_limit_on_the_address_space_counts() -> None:
    code = "from vheatir.inference.memory import free_bytes; print(free_bytes())"
    limit = 6 * 2**30
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert 0 < int(done.stdout) < limit


def test_a_hundred_megapixels_take_less_than_four_gibibytes(tmp_path: Path) -> None:
    """With a network that costs nothing: what is measured is what the engine itself holds, beside one tile."""
    code = """
import resource, sys, cv2, numpy as np, torch, vheatir
from vheatir.weights.file import WeightsHeader
from vheatir.inference.network import RestorationNetwork

class Nothing(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
    def forward(self, x, condition):
        return x

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

model = RestorationNetwork(Nothing(), WeightsHeader("denoise-color", {"sigma": (0, 55)}, "VHeatIR", {}, {}, ""))
restorer = vheatir.Restorer("denoise", model=model, tile=1024)
small = np.zeros((4_000, 4_000, 3), np.uint8)
small[::7, ::5] = (9, 200, 31)
before = peak()
assert np.array_equal(restorer.restore(small, sigma=5)[2000:2100], small[2000:2100])
assert peak() - before < 450e6  # the result is 48 MB, a band of tiles 49 MB; a float copy would be 192 MB more
cv2.imwrite(sys.argv[1], np.zeros((10_000, 10_000, 3), np.uint8))
result = restorer.restore_file(sys.argv[1], sys.argv[2], sigma=5)
assert result.image.pixels.shape == (10_000, 10_000, 3)
print(peak())
"""
    files = [str(tmp_path / name) for name in ("a.bmp", "b.bmp")]
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4 * 2**30


# ------------------------------------------------------------------------------------------------------ ensemble


class Corner(nn.Module):
    """Adds 1 at the upper left pixel alone."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y = x.clone()
        y[..., 0, 0] += 1
        return y


def test_the_ensemble_is_the_mean_over_eight_symmetries() -> None:
    image = np.zeros((3, 5), np.float32)
    restored = vheatir.Restorer("denoise", model=as_model(Corner()), ensemble=True).restore(image, sigma=5)
    expected = np.zeros((3, 5))
    expected[[0, 0, -1, -1], [0, -1, 0, -1]] = 0.25
    np.testing.assert_allclose(restored, expected)
