"""Metrics against hand-computed values and second implementations in float64."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

pytest.importorskip("skimage", reason="metrics need scikit-image")

from skimage import data

from vheatir.data.degradations import encode_jpeg
from vheatir.evaluation.metrics import METRICS
from vheatir.evaluation.metrics.lpips import Lpips, load_lpips
from vheatir.evaluation.metrics.psnr import psnr
from vheatir.evaluation.metrics.psnr_b import psnr_b
from vheatir.evaluation.metrics.ssim import ssim
from vheatir.system.torchvision import mend_torchvision
from vheatir.training import basicsr

try:  # BasicSR and lpips import torchvision
    mend_torchvision()
except ImportError:
    pytest.skip("metrics need torchvision", allow_module_level=True)

Image = NDArray[np.uint8]


@pytest.fixture(scope="module", params=["gray", "color", "odd"])
def pair(request: pytest.FixtureRequest) -> tuple[Image, Image]:
    """A compressed photograph and the photograph."""
    photographs = {
        "gray": data.camera()[100:228, 150:310],
        "color": data.astronaut()[:96, 100:228],
        "odd": data.astronaut()[10:87, 20:121],  # neither side a multiple of 8
    }
    truth = np.ascontiguousarray(photographs[request.param])
    return encode_jpeg(truth, 20), truth


def basicsr_metric(name: str) -> Callable[..., float]:
    metric: Callable[..., float] | None = basicsr.find_class("metric", name)
    if metric is None:
        pytest.skip("basicsr is not installed")
    return metric


# PSNR


def test_psnr_by_hand() -> None:
    truth = np.full((4, 5, 3), 100, np.uint8)
    one_off = truth + np.uint8(1)
    assert psnr(one_off, truth) == pytest.approx(20 * math.log10(255))  # 48.13 dB
    channel_off = truth.copy()
    channel_off[..., 0] += np.uint8(30)  # MSE 900 / 3 over the channels jointly, not the mean of their PSNRs
    assert psnr(channel_off, truth) == pytest.approx(10 * math.log10(255**2 / 300))
    assert psnr(truth, truth) == math.inf


def test_psnr_is_basicsrs(pair: tuple[Image, Image]) -> None:
    calculate_psnr = basicsr_metric("calculate_psnr")
    restored, truth = pair
    assert psnr(restored, truth) == pytest.approx(calculate_psnr(restored, truth, crop_border=0), abs=1e-9)


# SSIM


def matlab_ssim(restored: Image, truth: Image) -> float:
    """Wang's ssim_index in float64, window by window."""
    position = np.arange(11) - 5
    window = np.exp(-(position[:, None] ** 2 + position[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

    def local_mean(plane: NDArray[np.float64]) -> NDArray[np.float64]:
        views = np.lib.stride_tricks.sliding_window_view(plane, (11, 11))
        return np.asarray(np.einsum("ijkl,kl->ij", views, window))

    values = []
    for channel in range(truth.shape[2] if truth.ndim == 3 else 1):
        x, y = (image.reshape(*truth.shape[:2], -1)[..., channel].astype(np.float64) for image in (restored, truth))
        mean_x, mean_y = local_mean(x), local_mean(y)
        var_x, var_y = local_mean(x * x) - mean_x**2, local_mean(y * y) - mean_y**2
        covariance = local_mean(x * y) - mean_x * mean_y
        index = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
        values.append((index / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean())
    return float(np.mean(values))


def test_ssim_is_matlabs(pair: tuple[Image, Image]) -> None:
    assert ssim(*pair) == pytest.approx(matlab_ssim(*pair), abs=1e-9)


def test_ssim_is_basicsrs(pair: tuple[Image, Image]) -> None:
    calculate_ssim = basicsr_metric("calculate_ssim")
    assert ssim(*pair) == pytest.approx(calculate_ssim(*pair, crop_border=0), abs=1e-6)


def test_ssim_of_flat_images_by_hand() -> None:
    """Without variance only the means count: (2 a b + C1) / (a² + b² + C1)."""
    dark, bright = np.full((12, 15), 50, np.uint8), np.full((12, 15), 200, np.uint8)
    c1 = 2.55**2
    assert ssim(dark, bright) == pytest.approx((2 * 50 * 200 + c1) / (50**2 + 200**2 + c1), abs=1e-9)


# PSNR-B


def qgac_psnr_b(restored: Image, truth: Image) -> float:
    """The definition with loops over the pairs of neighbours, on values in [0, 1]."""
    height, width = truth.shape[:2]
    planes, truths = (image.reshape(height, width, -1) / 255.0 for image in (restored, truth))
    values = []
    for channel in range(planes.shape[2]):
        plane = planes[..., channel]
        sums = {True: 0.0, False: 0.0}
        for column in range(width - 1):
            sums[column % 8 == 7] += float(((plane[:, column] - plane[:, column + 1]) ** 2).sum())
        for row in range(height - 1):
            sums[row % 8 == 7] += float(((plane[row] - plane[row + 1]) ** 2).sum())
        edges = height * (width // 8 - 1) + width * (height // 8 - 1)
        others = height * (width - 1) + width * (height - 1) - edges
        at_edges, elsewhere = sums[True] / edges, sums[False] / others
        factor = math.log(8) / math.log(min(height, width)) * (at_edges - elsewhere) if at_edges > elsewhere else 0.0
        error = ((plane - truths[..., channel]) ** 2).mean() + factor
        values.append(10 * math.log10(1 / error))
    return sum(values) / len(values)


def test_psnr_b_is_qgacs(pair: tuple[Image, Image]) -> None:
    assert psnr_b(*pair) == pytest.approx(qgac_psnr_b(*pair), abs=1e-9)
    assert psnr_b(*pair) < psnr(*pair) - 0.1  # quality 20 has blocks


def test_psnr_b_by_hand() -> None:
    """16 x 16, one step of 10 between the left and the right blocks.

    The edges' squares sum to 16 · 100 over 32 counted pairs: D_b = 50; D_n = 0; η = 3 / 4: BEF = 37.5. MSE = 50.
    """
    truth = np.full((16, 16), 100, np.uint8)
    restored = truth.copy()
    restored[:, 8:] += np.uint8(10)
    assert psnr_b(restored, truth) == pytest.approx(10 * math.log10(255**2 / 87.5))


def test_edges_off_the_grid_do_not_count_as_blocks() -> None:
    truth = np.full((16, 16), 100, np.uint8)
    restored = truth.copy()
    restored[:, 9:] += np.uint8(10)
    assert psnr_b(restored, truth) == pytest.approx(psnr(restored, truth))


def test_psnr_b_looks_for_blocks_in_the_restored_image_only() -> None:
    smooth, blocky = np.full((32, 32), 100, np.uint8), np.full((32, 32), 100, np.uint8)
    blocky[:, 8:16] += np.uint8(10)
    assert psnr_b(smooth, blocky) == pytest.approx(psnr(smooth, blocky))
    assert psnr_b(blocky, smooth) < psnr(blocky, smooth)


# LPIPS


class WeightedDistance(torch.nn.Module):
    """Tells apart range, channel order and shape."""

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        assert first.shape == second.shape == (1, 3, 40, 48)
        assert first.dtype == torch.float32
        weights = torch.tensor([1.0, 10.0, 100.0]).view(1, 3, 1, 1)
        return ((first - second) * weights).mean(dim=(1, 2, 3), keepdim=True)


def test_lpips_gets_rgb_from_minus_one_to_one() -> None:
    metric = Lpips(WeightedDistance())
    white, black = np.full((40, 48, 3), 255, np.uint8), np.zeros((40, 48, 3), np.uint8)
    assert metric(white, black) == pytest.approx(2 * 111 / 3)
    red = black.copy()
    red[..., 0] = 255
    assert metric(red, black) == pytest.approx(2 / 3)
    assert metric(white[..., 0], black[..., 0]) == pytest.approx(2 * 111 / 3)  # gray: three equal channels


def test_lpips_of_the_package_with_any_trunk() -> None:
    """The package's distance by its formula in float64: unit features, squared differences, weights, mean."""
    package = pytest.importorskip("lpips")
    torch.manual_seed(0)
    network = package.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    truth = np.ascontiguousarray(data.astronaut()[:64, 100:164])
    restored = encode_jpeg(truth, 20)
    x, y = (torch.from_numpy(image / 127.5 - 1).permute(2, 0, 1)[None] for image in (restored, truth))
    shift, scale = network.scaling_layer.shift.double(), network.scaling_layer.scale.double()
    trunk = network.net.double()
    expected = 0.0
    with torch.no_grad():
        features = [trunk((image - shift) / scale) for image in (x, y)]
        for of_x, of_y, weights in zip(*features, network.lins, strict=True):
            unit_x, unit_y = (f / f.square().sum(1, keepdim=True).sqrt() for f in (of_x, of_y))
            expected += float(((unit_x - unit_y) ** 2 * weights.model[1].weight.double()).sum(1).mean())
        trunk.float()
        assert Lpips(network)(restored, truth) == pytest.approx(expected, rel=1e-3)
    assert expected > 0


def test_lpips_without_its_trunk_is_empty_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    package = pytest.importorskip("lpips")

    def refuse(**options: object) -> None:
        raise OSError(f"no route to host for {options['net']}")

    monkeypatch.setattr(package, "LPIPS", refuse)
    with caplog.at_level(logging.WARNING):
        assert load_lpips() is None
    assert "AlexNet weights are not on this machine" in caplog.text
    assert "no route to host" in caplog.text


# What cannot be compared


@pytest.mark.parametrize("metric", [psnr, ssim, psnr_b, Lpips(WeightedDistance())])
def test_images_of_different_shapes_are_refused(metric: Callable[[Image, Image], float]) -> None:
    with pytest.raises(ValueError, match=r"shape|dimensions"):
        metric(np.zeros((40, 48), np.uint8), np.zeros((40, 49), np.uint8))


@pytest.mark.parametrize(("name", "metric"), [("ssim", ssim), ("psnr_b", psnr_b)])
def test_the_smallest_side_is_the_smallest(name: str, metric: Callable[[Image, Image], float]) -> None:
    side = METRICS[name].smallest_side  # type: ignore[index]  # one of the names
    image = np.random.default_rng(0).integers(0, 256, (side, side + 3), dtype=np.uint8)
    assert math.isfinite(metric(image, 255 - image))
    with pytest.raises(ValueError, match=r"win_size|needs sides"):
        metric(image[1:], 255 - image[1:])


def test_alexnet_takes_the_smallest_side() -> None:
    package = pytest.importorskip("lpips")
    network = package.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    image = np.random.default_rng(0).integers(0, 256, (lpips_side(), lpips_side()), dtype=np.uint8)
    assert Lpips(network)(image, 255 - image) > 0


def lpips_side() -> int:
    return METRICS["lpips"].smallest_side
