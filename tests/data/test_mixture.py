"""The mixture of degradations: shares, what is told, and what is true."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from vheatir.data.degradations import encode_jpeg
from vheatir.data.mixture import DegradationMixture, make_mixture
from vheatir.nn.condition import UNKNOWN

SIZE = 32
COLOR: NDArray[np.uint8] = data.astronaut()
NOISE = {"type": "noise", "sigma": [20, 20]}
JPEG = {"type": "jpeg", "quality": [30, 30]}
BOTH = {"type": "noise_jpeg", "sigma": [20, 20], "quality": [30, 30], "grid_phase": True}
PARTS: dict[str, dict[str, Any]] = {
    "noise": NOISE,
    "jpeg": JPEG,
    "noise_jpeg": BOTH,
    "camera": {"type": "camera"},
    "grain": {"type": "grain"},
    "clean": {"type": "clean"},
}


def mixture(*parts: dict[str, Any], gray: float = 0.0, withheld: float = 0.0) -> DegradationMixture:
    listed = [{"share": 1.0} | part for part in parts]
    return make_mixture({"type": "mixture", "gray": gray, "withheld": withheld, "parts": listed})


def draw(
    made: DegradationMixture, seed: int, photo: NDArray[np.uint8] = COLOR
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    drawn = made.draw(rng)
    side = drawn.source_size(SIZE)
    return drawn(photo[100 : 100 + side, 180 : 180 + side], SIZE, rng)


@pytest.mark.parametrize("gray", [0.0, 1.0])
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_crops_of_every_part(part: dict[str, Any], gray: float) -> None:
    for seed in range(8):
        degraded, clean, told, truth = draw(mixture(part, gray=gray), seed)
        for image in (degraded, clean):
            assert image.shape == (SIZE, SIZE, 3)
            assert image.dtype == np.float32
            assert bool((image[..., 1:] == image[..., :1]).all()) == (gray == 1)
        assert told.shape == (2,)
        assert truth.shape == (2, SIZE // 8, SIZE // 8)
        assert told.dtype == truth.dtype == np.float32
        assert (truth >= 0).all()
        assert (degraded == clean).all() == (part["type"] == "clean")


def test_what_is_told_by_hand() -> None:
    for part, level in ((NOISE, [20 / 255, 0]), (JPEG, [0, 0.7]), (BOTH, [20 / 255, 0.7])):
        _, _, told, truth = draw(mixture(part), 0)
        np.testing.assert_allclose(told, level, atol=1e-6)
        np.testing.assert_allclose(truth, np.broadcast_to(np.array(level)[:, None, None], truth.shape), atol=1e-6)


@pytest.mark.parametrize("kind", ["camera", "grain"])
def test_nobody_knows_the_one_level_of_a_camera_or_of_film(kind: str) -> None:
    for seed in range(5):
        degraded, clean, told, truth = draw(mixture(PARTS[kind]), seed)
        assert told[0] == UNKNOWN
        assert told[1] == truth[1, 0, 0]
        if kind == "grain":  # nothing else is done to it
            squares = np.square(degraded - clean).mean(axis=2).reshape(4, 8, 4, 8).mean(axis=(1, 3))
            np.testing.assert_allclose(truth[0], np.sqrt(squares), rtol=1e-4)


def test_a_clean_crop_has_the_finest_detail_and_is_not_told_to_be_clean() -> None:
    rng = np.random.default_rng(0)
    drawn = mixture({"type": "clean"}).draw(rng)
    photo = np.full((2 * SIZE, 2 * SIZE, 3), 128, dtype=np.uint8)
    photo[SIZE:, :SIZE] += rng.integers(0, 8, (SIZE, SIZE, 3), dtype=np.uint8)  # gravel
    photo[:SIZE] += np.arange(0, 128, 2, dtype=np.uint8)[:, None]  # brighter and darker, but smooth
    degraded, clean, told, truth = drawn(photo, SIZE, rng)
    np.testing.assert_array_equal((clean * 255).round(), photo[SIZE:, :SIZE])
    np.testing.assert_array_equal(degraded, clean)
    assert told.tolist() == [UNKNOWN, 0]
    assert (truth == 0).all()


def test_noise_before_compression_is_in_the_photograph_and_not_in_the_target() -> None:
    rng = np.random.default_rng(3)
    drawn = mixture({"type": "noise_jpeg", "sigma": [20, 20], "quality": [100, 100]}).draw(rng)
    flat = np.full((SIZE, SIZE, 3), 128, dtype=np.uint8)
    degraded, clean, _, _ = drawn(flat, SIZE, rng)
    assert (clean * 255 == 128).all()
    assert 12 < 255 * degraded.std() < 22  # 4:2:0 takes away some of the colours' noise
    np.testing.assert_allclose(degraded * 255, (degraded * 255).round(), atol=1e-4)


def test_jpeg_is_compressed_as_it_is_in_the_benchmark() -> None:
    crop = COLOR[100 : 100 + SIZE, 180 : 180 + SIZE]
    degraded, clean, _, _ = draw(mixture(JPEG), 0)
    np.testing.assert_array_equal((degraded * 255).round(), encode_jpeg(crop, 30))
    np.testing.assert_array_equal((clean * 255).round(), crop)


def test_shares() -> None:
    made = mixture(NOISE | {"share": 3}, JPEG | {"share": 1})
    kinds = Counter(bool(draw(made, seed)[2][0] > 0) for seed in range(400))
    assert kinds[True] / 400 == pytest.approx(0.75, abs=0.07)  # three standard errors


def test_levels_are_withheld() -> None:
    """Of 600 crops 0.6 are told both levels; 0.2 none, 0.1 the JPEG level alone, 0.1 the noise alone."""
    made = mixture(BOTH, withheld=0.4)
    told = Counter(tuple(bool(level >= 0) for level in draw(made, seed)[2]) for seed in range(600))
    expected = {(True, True): 0.6, (False, False): 0.2, (False, True): 0.1, (True, False): 0.1}
    for kind, share in expected.items():
        assert told[kind] / 600 == pytest.approx(share, abs=0.06)
    assert all(draw(mixture(BOTH), seed)[2][0] >= 0 for seed in range(50))


def test_draws_are_of_the_generator_alone() -> None:
    made = mixture(*PARTS.values(), gray=0.5, withheld=0.5)
    for seed in range(10):
        for one, same in zip(draw(made, seed), draw(made, seed), strict=True):
            np.testing.assert_array_equal(one, same)


def test_grain_is_correlated_and_strongest_in_the_middle_tones() -> None:
    ramp = (
        np.repeat(np.array([2, 128], dtype=np.uint8), SIZE // 2)[None, :, None].repeat(SIZE, axis=0).repeat(3, axis=2)
    )
    dark, middle = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        degraded, clean, _, _ = mixture({"type": "grain"}).draw(rng)(ramp, SIZE, rng)
        error = (degraded - clean)[..., 1]
        dark.append(error[:, : SIZE // 2].std())
        middle.append(error[:, SIZE // 2 :].std())
    assert np.median(middle) > 2 * np.median(dark)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"gray": 1.5}, "probabilities"), ({"withheld": -0.1}, "probabilities")],
)
def test_wrong_probabilities(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixture(NOISE, **changes)


@pytest.mark.parametrize("shares", [[0.0, 0.0], [-1.0, 2.0]])
def test_wrong_shares(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="shares of a mixture"):
        mixture(*(NOISE | {"share": share} for share in shares))


def test_a_wrong_level_of_a_part() -> None:
    with pytest.raises(ValueError, match="quality must satisfy"):
        mixture(JPEG | {"quality": [90, 10]})
