"""The task "photo": one model for gray and colour, told the levels or not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from report_lines import read_report
from skimage import data
from tiny_weights import save_tiny_weights, tiny_pyramid, trained_ranges
from training_options import write_image

import vheatir
from vheatir.cli.main import main
from vheatir.imageio.images import Image
from vheatir.inference.network import RestorationNetwork
from vheatir.levels.levels import Levels
from vheatir.weights.file import WeightsError, WeightsHeader, load_weights, read_header, save_weights

COLOR: NDArray[np.uint8] = data.astronaut()[:72, :88]
GRAY: NDArray[np.uint8] = data.camera()[:72, :88]


def photo_model(**options: Any) -> RestorationNetwork:
    network = tiny_pyramid(**options)
    header = WeightsHeader("photo", trained_ranges("photo"), "VHeatPyramid", asdict(network.config), {}, "CC0-1.0")
    return RestorationNetwork(network, header).eval().requires_grad_(False)


def tensor(image: NDArray[np.uint8]) -> torch.Tensor:
    color = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    return torch.from_numpy(color.astype(np.float32) / 255).permute(2, 0, 1)[None]


# the weights file


def test_a_weights_file_holds_a_pyramid_and_both_ranges(tmp_path: Path) -> None:
    path = save_tiny_weights(tmp_path / "photo.safetensors", "photo")
    network, header = load_weights(path)
    assert isinstance(network, vheatir.VHeatPyramid)
    assert (header.name, header.task, header.channels) == ("photo", "photo", 3)
    assert header.ranges == {"sigma": (0.0, 55.0), "quality": (10.0, 95.0)}
    assert header == read_header(path)
    x, blind = tensor(COLOR), torch.tensor([[-1.0, -1.0]])
    half = tiny_pyramid()
    half.load_state_dict({name: value.half().float() for name, value in half.state_dict().items()})
    torch.testing.assert_close(network(x, blind), half(x, blind))


@pytest.mark.parametrize("ranges", [{"sigma": (0, 55)}, {}, {"quality": (10, 95)}])
def test_a_photo_model_without_both_ranges_is_refused(ranges: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="needs the range of sigma and quality for photo"):
        save_weights(tmp_path / "a.safetensors", tiny_pyramid(), name="photo", ranges=ranges, training={}, licence="")


# the model


def test_levels_are_told_in_the_users_units() -> None:
    model, x = photo_model(), tensor(COLOR)
    expected = model.network(x, torch.tensor([[51 / 255, 0.6]]))
    torch.testing.assert_close(model(x, sigma=51, quality=40), expected)
    torch.testing.assert_close(model(x, sigma=torch.tensor([51.0]), quality=torch.tensor(40.0)), expected)
    torch.testing.assert_close(model(x), model.network(x, torch.tensor([[-1.0, -1.0]])))
    torch.testing.assert_close(model(x, quality=40), model.network(x, torch.tensor([[-1.0, 0.6]])))


def test_each_image_of_a_batch_has_levels_and_a_strength_of_its_own() -> None:
    model = vheatir.load_model("photo")
    x = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    sigma, quality = torch.tensor([-1.0, 20.0, -1.0]), torch.tensor([40.0, -1.0, -1.0])
    batch = model(x, sigma=sigma, quality=quality, strength=torch.tensor([1.0, 0.5, 2.0]))
    single = [
        model(x[:1], quality=40),
        model(x[1:2], sigma=20, strength=0.5),
        model(x[2:], strength=2.0),
    ]
    torch.testing.assert_close(batch, torch.cat(single), rtol=0, atol=1e-5)


def test_what_a_model_is_not_told_by_name_is_refused() -> None:
    x = tensor(COLOR)
    with pytest.raises(ValueError, match="sigma and quality by name"):
        photo_model()(x, 15)
    with pytest.raises(ValueError, match="sigma is 0 to 255, not -3"):
        photo_model()(x, sigma=-3)
    with pytest.raises(ValueError, match=r"Model photo takes \(B, 3, H, W\)"):
        photo_model()(x[:, :1])


@pytest.mark.usefixtures("bundled")
def test_models_of_one_level_take_it_by_name_too() -> None:
    model, x = vheatir.load_model("jpeg-color"), tensor(COLOR)
    torch.testing.assert_close(model(x, 40), model(x, quality=40))
    with pytest.raises(ValueError, match="takes quality, not sigma"):
        model(x, sigma=15)
    with pytest.raises(ValueError, match="needs quality"):
        model(x)
    with pytest.raises(ValueError, match="does not estimate levels"):
        model.estimate(x)


def test_the_estimate_is_in_the_users_units() -> None:
    model, x = photo_model(), tensor(COLOR)
    assert isinstance(model.network, vheatir.VHeatPyramid)
    noise, jpeg = model.network.estimate_levels(x).mean(dim=(0, 2, 3)).tolist()
    seen = model.estimate(x)
    assert seen.sigma == pytest.approx(255 * noise)
    assert seen.quality == pytest.approx(100 - 100 * jpeg)


# the restorer


@pytest.mark.parametrize("image", [GRAY, np.repeat(GRAY[..., None], 3, axis=2)], ids=["one channel", "three equal"])
def test_a_gray_image_stays_exactly_gray(image: NDArray[np.uint8]) -> None:
    model = photo_model()
    restored = vheatir.Restorer("photo", model=model).restore(image)
    assert restored.shape == image.shape
    expected = (model(tensor(GRAY))[0].mean(dim=0).clamp(0, 1) * 255).round().numpy().astype(np.uint8)
    np.testing.assert_array_equal(restored if image.ndim == 2 else restored[..., 0], expected)
    assert image.ndim == 2 or (restored == restored[..., :1]).all()
    assert (expected != GRAY).any()


@pytest.mark.usefixtures("bundled")
def test_colour_images() -> None:
    restored = vheatir.restore(COLOR, task="photo")
    expected = vheatir.load_model("photo")(tensor(COLOR))[0].permute(1, 2, 0).clamp(0, 1)
    np.testing.assert_array_equal(restored, (expected * 255).round().numpy().astype(np.uint8))


@pytest.mark.usefixtures("bundled")
def test_known_levels_are_used() -> None:
    restorer = vheatir.Restorer("photo")
    blind = restorer.restore(COLOR)
    told = restorer.restore(COLOR, sigma=40, quality=20)
    assert (blind != told).any()
    expected = vheatir.load_model("photo")(tensor(COLOR), sigma=40, quality=20)[0].permute(1, 2, 0).clamp(0, 1)
    np.testing.assert_array_equal(told, (expected * 255).round().numpy().astype(np.uint8))
    with pytest.raises(ValueError, match="sigma is 0 to 55 for model photo"):
        restorer.restore(COLOR, sigma=90)
    # 100 means none, and is no quality beyond the training
    unchanged = restorer.restore(COLOR, sigma=0, quality=100)
    np.testing.assert_array_equal(unchanged, COLOR)


@pytest.mark.usefixtures("bundled")
def test_strength_zero_changes_nothing_and_more_strength_more() -> None:
    by_strength = {s: vheatir.Restorer("photo", strength=s).restore(COLOR).astype(int) for s in (0.0, 0.1, 1.0)}
    np.testing.assert_array_equal(by_strength[0.0], COLOR)
    changes = [np.abs(image - COLOR).mean() for image in by_strength.values()]
    assert changes == sorted(changes)
    assert changes[1] < changes[2]


@pytest.mark.usefixtures("bundled")
def test_halftones_are_kept(tmp_path: Path) -> None:
    halftone = np.where(np.tile([[32, 160], [224, 96]], (36, 44)) < GRAY, np.uint8(255), np.uint8(0))
    np.testing.assert_array_equal(vheatir.Restorer("photo").restore(halftone), halftone)
    write_image(tmp_path / "a.png", halftone)
    result = vheatir.Restorer("photo").restore_file(tmp_path / "a.png", tmp_path / "b.png")
    assert result.levels == Levels(sigma=0, quality=100)
    assert vheatir.Restorer("photo").file_levels(tmp_path / "a.png", Image(GRAY), None, None)[0] == Levels()


@pytest.mark.usefixtures("bundled")
def test_tiles_and_batches() -> None:
    image = data.astronaut()[:200, :256]
    whole = vheatir.Restorer("photo").restore(image).astype(int)
    tiles = vheatir.Restorer("photo", tile=128).restore(image).astype(int)
    assert np.abs(whole - tiles).max() <= 2
    small = [GRAY[:24, :24], COLOR[:24, :24], GRAY[8:32, 8:32]]
    restorer = vheatir.Restorer("photo")
    for one, image in zip(restorer.restore_many(small), small, strict=True):
        assert np.abs(one.astype(int) - restorer.restore(image).astype(int)).max() <= 1


# the command


@pytest.mark.usefixtures("bundled")
def test_a_folder_of_photos(source: Path, output: Path, tmp_path: Path, capsys: Any) -> None:
    write_image(source / "color.png", COLOR)
    write_image(source / "gray.png", GRAY)
    write_image(source / "photo.jpg", COLOR, (cv2.IMWRITE_JPEG_QUALITY, 60))
    report = tmp_path / "report.json"
    assert main(["restore", "--task", "photo", str(source), str(output), "--report", str(report)]) == 0
    lines = capsys.readouterr().out
    assert "color.png  88x72  blind (noise " in lines
    assert "JPEG quality" in lines
    gray = cv2.imread(str(output / "gray.png"), cv2.IMREAD_UNCHANGED)
    assert gray is not None
    assert gray.ndim == 2
    records = {Path(record["file"]).name: record for record in read_report(report)}
    assert records["color.png"]["level"] is None
    assert records["color.png"]["levels"].startswith("blind (noise ")


@pytest.mark.usefixtures("bundled")
def test_known_levels_on_the_command_line(source: Path, output: Path, capsys: Any) -> None:
    write_image(source / "color.png", COLOR)
    assert main(["restore", "--task", "photo", "--sigma", "12", "--quality", "50", str(source), str(output)]) == 0
    assert "color.png  88x72  sigma 12, quality 50  " in capsys.readouterr().out
    assert main(["restore", "--task", "photo", "--sigma", "90", str(source), str(output)]) == 2
    assert "sigma is 0 to 55" in capsys.readouterr().err


def test_levels_in_words() -> None:
    assert str(Levels()) == "blind"
    assert str(Levels(sigma=12.5)) == "sigma 12.5"
    assert str(Levels(sigma=1, quality=40)) == "sigma 1, quality 40"
