from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from vheatir.tiling import restore_in_tiles, tile_starts


def test_tile_starts_by_hand() -> None:
    assert tile_starts(100, 40, 10) == [0, 30, 60]
    assert tile_starts(101, 40, 10) == [0, 30, 60, 61]
    assert tile_starts(40, 40, 10) == [0]
    assert tile_starts(7, 40, 10) == [0]
    assert tile_starts(5, 2, 0) == [0, 2, 3]


@pytest.mark.parametrize("overlap", [0, 1, 7, 15])
def test_tiles_cover_every_pixel_and_overlap_enough(overlap: int) -> None:
    tile = 16
    for length in range(tile + 1, 120):
        starts = tile_starts(length, tile, overlap)
        assert starts[0] == 0
        assert starts[-1] + tile == length
        assert all(0 < right - left <= tile - overlap for left, right in pairwise(starts))


@pytest.mark.parametrize("overlap", [-1, 16, 20])
def test_impossible_overlap(overlap: int) -> None:
    with pytest.raises(ValueError, match=f"less than the tile .16., not {overlap}"):
        tile_starts(100, 16, overlap)


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (16, 16), (37, 50), (64, 17)])
@pytest.mark.parametrize("overlap", [0, 4])
def test_identity_is_given_back(size: tuple[int, int], overlap: int) -> None:
    x = torch.rand(2, 3, *size)
    torch.testing.assert_close(restore_in_tiles(lambda tile: tile, x, tile=16, overlap=overlap), x)


def test_an_image_that_fits_is_restored_whole() -> None:
    x = torch.rand(1, 1, 16, 12)
    seen: list[Tensor] = []

    def restore(tile: Tensor) -> Tensor:
        seen.append(tile)
        return tile.flip(-1)

    restored = restore_in_tiles(restore, x, tile=16, overlap=8)
    assert [tuple(tile.shape) for tile in seen] == [(1, 1, 16, 12)]
    torch.testing.assert_close(restored, x.flip(-1))


def test_tiles_have_the_given_side() -> None:
    shapes = set()

    def restore(tile: Tensor) -> Tensor:
        shapes.add(tuple(tile.shape))
        return tile

    restore_in_tiles(restore, torch.rand(1, 1, 50, 20), tile=16, overlap=4)
    assert shapes == {(1, 1, 16, 16)}


def test_seams_are_blended() -> None:
    """Two tiles that disagree by 1: weights 1 to 4 in and 4 to 1 out make steps of 1/5 over the overlap."""
    values = iter([0.0, 1.0])
    x = torch.zeros(1, 1, 12, 20)
    restored = restore_in_tiles(lambda tile: torch.full_like(tile, next(values)), x, tile=12, overlap=4)
    assert tile_starts(20, 12, 4) == [0, 8]
    expected = torch.tensor([0.0] * 8 + [0.2, 0.4, 0.6, 0.8] + [1.0] * 8)
    torch.testing.assert_close(restored, expected.expand(1, 1, 12, 20))
