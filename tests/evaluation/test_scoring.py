"""The protocol, and scoring by it."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("skimage", reason="metrics need scikit-image")

from benchmark_folders import COLOR, GRAY, darken, halve, refuse, shrink, write
from tiny_weights import save_tiny_weights

from vheatir.evaluation import scoring
from vheatir.evaluation.environment import Environment, describe_environment
from vheatir.evaluation.methods import Method, load_method
from vheatir.evaluation.peers import make_peer
from vheatir.evaluation.protocol import Protocol, to_eight_bits
from vheatir.evaluation.results import Result
from vheatir.evaluation.scoring import ScoringError, score_set
from vheatir.evaluation.sets import ImageSet, SetError, open_set
from vheatir.inference.network import load_model
from vheatir.weights.file import WeightsError

HERE = Environment("a machine", "cpu", 1, "2.13.0", "3.12.3", "0.1.0", "0123abc", "2026-01-31")


@pytest.fixture
def gray(tmp_path: Path) -> ImageSet:
    return open_set("mine", write(tmp_path / "gray", GRAY))


@pytest.fixture
def color(tmp_path: Path) -> ImageSet:
    return open_set("mine", write(tmp_path / "color", COLOR))


def denoise_scores(images: ImageSet, methods: dict[str, Method], protocol: Protocol | None = None) -> list[Result]:
    return score_set(
        images,
        methods,
        task="denoise",
        channels="gray",
        level=25,
        protocol=protocol or Protocol(),
        metrics=["psnr", "ssim"],
        environment=HERE,
    )


# SwinIR's test script, written out: seed, noise and order of channels; rounding; PSNR


def psnr_float64(restored: np.ndarray, truth: np.ndarray) -> float:
    return 20 * math.log10(255 / math.sqrt(((restored.astype(np.float64) - truth) ** 2).mean()))


@pytest.mark.parametrize("channels", ["gray", "color"])
def test_denoising_is_swinirs(tmp_path: Path, channels: str) -> None:
    files = GRAY if channels == "gray" else COLOR
    images = open_set("mine", write(tmp_path, files))
    identity = make_peer("identity", task="denoise")
    (result,) = score_set(
        images,
        {"noisy": identity},
        task="denoise",
        channels="gray" if channels == "gray" else "color",
        level=25,
        protocol=Protocol(),
        metrics=["psnr"],
        environment=HERE,
    )
    for name, rgb in files.items():
        bgr = rgb if rgb.ndim == 2 else rgb[..., ::-1]
        np.random.seed(0)  # as the script does
        noisy = bgr.astype(np.float32) / 255.0 + np.random.normal(0, 25 / 255.0, bgr.shape)
        rounded = (noisy.astype(np.float32).clip(0, 1) * 255.0).round().astype(np.uint8)
        assert result.images[name] == {"psnr": pytest.approx(psnr_float64(rounded, bgr), abs=1e-9)}
    assert list(result.images) == sorted(files)
    assert result.means["psnr"] == pytest.approx(np.mean([scores["psnr"] for scores in result.images.values()]))


@pytest.mark.parametrize(("channels", "full_range"), [("gray", False), ("gray", True), ("color", False)])
def test_jpeg_is_swinirs(color: ImageSet, channels: str, full_range: bool) -> None:
    (result,) = score_set(
        color,
        {"JPEG": make_peer("identity", task="jpeg")},
        task="jpeg",
        channels="gray" if channels == "gray" else "color",
        level=10,
        protocol=Protocol(full_range=full_range),
        metrics=["psnr"],
        environment=HERE,
    )
    for name, rgb in COLOR.items():
        image = np.asarray(rgb[..., ::-1])
        if full_range:  # as other toolkits read a file
            image = np.asarray(cv2.imread(str(color.folder / name), cv2.IMREAD_GRAYSCALE))
        elif channels == "gray":
            luma = 16 + (65.481 * rgb[..., 0] + 128.553 * rgb[..., 1] + 24.966 * rgb[..., 2]) / 255
            image = luma.round().astype(np.uint8)
        encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 10])[1]
        decoded = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
        assert result.images[name]["psnr"] == pytest.approx(psnr_float64(np.asarray(decoded), image), abs=1e-9)


# Departures


def test_clipping_and_rounding_the_noisy_image(gray: ImageSet) -> None:
    plain, clipped, rounded = (
        protocol.pair(gray.source, 0, task="denoise", channels="gray", level=50)[0]
        for protocol in (Protocol(), Protocol(clip=True), Protocol(quantise=True))
    )
    assert plain.min() < 0
    np.testing.assert_array_equal(clipped, plain.clip(0, 1))
    np.testing.assert_allclose(rounded * 255, (plain.clip(0, 1) * 255).round(), atol=1e-4)
    assert rounded.dtype == clipped.dtype == np.float32


def test_another_seed_is_another_draw(gray: ImageSet) -> None:
    (zero, truth), (seven, _) = (
        Protocol(seed=seed).pair(gray.source, 0, task="denoise", channels="gray", level=25) for seed in (0, 7)
    )
    expected = np.random.RandomState(7).normal(0, 25 / 255, truth.shape)
    np.testing.assert_allclose(seven - truth / 255, expected, atol=1e-6)
    assert not np.allclose(zero, seven)


def test_border_and_luma() -> None:
    image = COLOR["x.png"]
    assert Protocol(border=3).scored(image).shape == (34, 42, 3)
    np.testing.assert_array_equal(Protocol(border=3).scored(image), image[3:-3, 3:-3])
    np.testing.assert_array_equal(Protocol().scored(image), image)
    white = Protocol(score_luma=True).scored(np.full((2, 2, 3), 255, np.uint8))
    assert white.tolist() == [[235, 235], [235, 235]]
    gray = GRAY["a.png"]
    np.testing.assert_array_equal(Protocol(score_luma=True).scored(gray), gray)
    with pytest.raises(ValueError, match="border is 0 pixels or more, not -1"):
        Protocol(border=-1)


def test_the_line_names_what_is_done() -> None:
    line = Protocol().line("Set12: the known 12 images", "denoise", "gray")
    assert line.startswith("Set12: the known 12 images. SwinIR's protocol; ")
    for part in ("numpy seed 0 before every image", "neither clipped nor rounded", "one pass", "8 bits", "border 0"):
        assert part in line
    assert "drawn in BGR order" in Protocol().line("s", "denoise", "color")
    assert "\n" not in line
    jpeg = Protocol().line("s", "jpeg", "gray")
    assert "MATLAB's Y (16 to 235)" in jpeg
    assert f"OpenCV {cv2.__version__}" in jpeg


@pytest.mark.parametrize(
    ("protocol", "task", "channels", "named"),
    [
        (Protocol(clip=True), "denoise", "gray", "noisy image clipped"),
        (Protocol(quantise=True), "denoise", "gray", "noisy image rounded to 8 bits"),
        (Protocol(seed=3), "denoise", "color", "noise seed 3"),
        (Protocol(full_range=True), "jpeg", "gray", "full-range gray"),
        (Protocol(score_luma=True), "jpeg", "color", "scored on Y"),
        (Protocol(border=4), "denoise", "gray", "border 4"),
        (Protocol(tile=256), "jpeg", "gray", "tiles"),
    ],
)
def test_the_line_names_every_departure(protocol: Protocol, task: str, channels: str, named: str) -> None:
    line = protocol.line("s", task, channels)  # type: ignore[arg-type]  # as they stand above
    assert f"NOT SwinIR's protocol ({named})" in line
    other = Protocol(clip=True, quantise=True, seed=3)
    assert "NOT" not in other.line("s", "jpeg", "gray")  # what has no effect is no departure


# Methods


def test_all_methods_see_the_same_pixels(gray: ImageSet) -> None:
    """One that spoils its input harms nobody, and what it returns is clamped and rounded."""
    methods: dict[str, Method] = {}
    for name in ("darken", "halve"):
        methods[name] = make_peer(f"benchmark_folders:{name}", task="denoise")
    methods["noisy"] = make_peer("identity", task="denoise")
    dark, half, noisy = denoise_scores(gray, methods)
    for index, name in enumerate(gray.names):
        degraded, truth = Protocol().pair(gray.source, index, task="denoise", channels="gray", level=25)
        for result, restored in ((dark, darken(degraded.copy(), 25)), (half, halve(degraded, 25)), (noisy, degraded)):
            expected = psnr_float64((restored.clip(0, 1) * 255).round(), truth)
            assert result.images[name]["psnr"] == pytest.approx(expected, abs=0.01)
    assert [result.method for result in (dark, half, noisy)] == ["darken", "halve", "noisy"]
    assert dark.parameters is None
    assert dark.multiply_adds_per_pixel is None
    assert dark.protocol == Protocol().line("mine: own set of 2 images", "denoise", "gray")


def test_methods_that_fail_are_named(gray: ImageSet) -> None:
    for function, message in ((refuse, "only multiples of 7"), (shrink, r"shape \(39, 32\)")):
        peer = make_peer(f"benchmark_folders:{function.__name__}", task="denoise")
        with pytest.raises(ScoringError, match=rf"mine.*a\.png.*{message}"):
            denoise_scores(gray, {"mine": peer})


class Plain:
    """A method that nobody checks on the way."""

    name = "plain"

    def __init__(self, value: float, cut: int = 0) -> None:
        self.value, self.cut = value, cut

    def __call__(self, degraded: np.ndarray, level: float) -> np.ndarray:
        return np.full_like(degraded, self.value)[self.cut :]


def test_results_that_are_no_images_are_refused(gray: ImageSet) -> None:
    with pytest.raises(ScoringError, match=r"plain made values of a.png that are not finite"):
        denoise_scores(gray, {"plain": Plain(math.nan)})
    with pytest.raises(ScoringError, match=r"plain made shape \(38, 32\) of a.png, which has \(40, 32\)"):
        denoise_scores(gray, {"plain": Plain(0.5, cut=2)})


def test_images_too_small_for_a_metric_are_named(tmp_path: Path) -> None:
    images = open_set("mine", write(tmp_path, {"tiny.png": GRAY["a.png"][:10]}))
    with pytest.raises(SetError, match=r"tiny.png: 32x10 scored pixels are too few for ssim, which needs 11"):
        denoise_scores(images, {"plain": Plain(0.5)})


def test_our_networks(gray: ImageSet, tmp_path: Path) -> None:
    """As the network itself computes it, whole; with its cost."""
    path = save_tiny_weights(tmp_path / "my.safetensors", "denoise-gray", offset=0.05)
    method = load_method(str(path), task="denoise", channels=1, device="cpu")
    assert method.name == "my"
    (result,) = denoise_scores(gray, {"ours": method})
    model = load_model(path)
    for index, name in enumerate(gray.names):
        degraded, truth = Protocol().pair(gray.source, index, task="denoise", channels="gray", level=25)
        with torch.no_grad():
            restored = model(torch.from_numpy(degraded)[None, None], 25.0)[0, 0].numpy()
        assert result.images[name]["psnr"] == pytest.approx(psnr_float64(to_eight_bits(restored), truth), abs=1e-6)
    assert result.parameters == sum(parameter.numel() for parameter in model.parameters())
    counted = sum(method.multiply_adds(height, width) for height, width in ((40, 32), (40, 48)))
    assert result.multiply_adds_per_pixel == pytest.approx(counted / (40 * 80))
    assert result.seconds_per_megapixel is None  # not asked


class Clock:
    """Counts a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0

    def perf_counter(self) -> int:
        self.now += 1
        return self.now


def test_seconds_are_those_of_the_calls(gray: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "time", Clock())
    (result,) = score_set(
        gray,
        {"plain": Plain(0.5)},
        task="denoise",
        channels="gray",
        level=25,
        protocol=Protocol(),
        metrics=["psnr"],
        environment=HERE,
        timed=True,
    )
    assert result.seconds_per_megapixel == pytest.approx(2 / (40 * 80) * 1e6)  # two calls


def test_our_networks_in_color_and_in_tiles(tmp_path: Path) -> None:
    path = save_tiny_weights(tmp_path / "my.safetensors", "jpeg-color")
    image = np.float32(1 / 255) * COLOR["x.png"]
    whole, tiled = (
        load_method(str(path), task="jpeg", channels=3, device="cpu", tile=tile)(image, 40) for tile in (None, 24)
    )
    assert whole.shape == tiled.shape == image.shape
    assert whole.dtype == np.float32
    with torch.no_grad():
        expected = load_model(path)(torch.from_numpy(image).permute(2, 0, 1)[None], 40)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(whole, expected, atol=1e-5)
    assert not np.array_equal(whole, tiled)
    np.testing.assert_allclose(whole, tiled, atol=0.05)


def test_models_that_cannot_be_scored(tmp_path: Path) -> None:
    path = save_tiny_weights(tmp_path / "my.safetensors", "denoise-gray")
    with pytest.raises(ValueError, match=r"paper has no bundled weights.*options/train/paper_denoise_color.yml"):
        load_method("paper", task="denoise", channels=3)
    with pytest.raises(ValueError, match=r"is for denoise-gray, not for jpeg-gray"):
        load_method(str(path), task="jpeg", channels=1)
    with pytest.raises(ValueError, match=r"is for denoise-gray, not for denoise-color"):
        load_method("denoise-gray", task="denoise", channels=3)
    with pytest.raises(WeightsError, match="neither a weights file nor a bundled model"):
        load_method("nothing", task="denoise", channels=1)
    with pytest.raises(ValueError, match="sigma is 0 to 55"):
        load_method(str(path), task="denoise", channels=1)(np.zeros((16, 16), np.float32), 75)


def test_fast_is_the_bundled_model_of_task_and_channels() -> None:
    method = load_method("fast", task="denoise", channels=1, device="cpu")
    assert (method.name, method.model.name) == ("vHeatIR fast", "denoise-gray")
    assert load_method("fast", task="jpeg", channels=3, device="cpu").model.name == "jpeg-color"


def test_the_environment_tells_where_it_was(repository: Path) -> None:
    here = describe_environment(torch.device("cpu"))
    assert here.torch == torch.__version__
    assert here.threads == torch.get_num_threads()
    assert here.device == "cpu"
    assert (here.commit is not None) == (repository / ".git").exists()
    assert f"torch {torch.__version__}" in str(here)
