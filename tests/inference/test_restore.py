from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
import torch
from PIL import Image as PillowImage
from tiny_weights import save_tiny_weights, tiny_network
from torch import Tensor, nn

import vheatir
import vheatir.inference.network
import vheatir.weights.file
from vheatir.data.degradations import GaussianNoise, JpegCompression
from vheatir.data.device import degrade
from vheatir.inference.backends import Precision
from vheatir.inference.network import RestorationNetwork
from vheatir.inference.restorer import RestorationError
from vheatir.weights.file import ModelName, Ranges, Task, WeightsHeader, load_weights

Array = npt.NDArray[Any]


class Spy(nn.Module):
    """Adds an offset, and remembers what it was called with."""

    def __init__(self, offset: float = 0.0) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(offset), requires_grad=False)
        self.x = torch.empty(0)
        self.condition = torch.empty(0)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        self.x, self.condition = x, condition
        return x + self.offset


def as_model(network: nn.Module, task: ModelName = "denoise-gray") -> RestorationNetwork:
    ranges: Ranges = {"sigma": (0.0, 55.0)} if task.startswith("denoise") else {"quality": (10.0, 95.0)}
    return RestorationNetwork(network, WeightsHeader(task, ranges, "VHeatIR", {}, {}, "CC0-1.0"))


def pixels(shape: tuple[int, ...], dtype: Any) -> Array:
    generator = np.random.default_rng(0)
    if np.issubdtype(dtype, np.floating):
        return generator.random(shape).astype(dtype)
    return generator.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


# -------------------------------------------------------------------------------------------- RestorationNetwork


@pytest.mark.parametrize(("task", "level"), [("denoise-gray", 15.0), ("denoise-gray", 55.0), ("jpeg-gray", 10.0)])
def test_a_network_is_told_what_it_was_trained_with(task: ModelName, level: float) -> None:
    """The condition of a level is the one that training made of it, on a CPU and on a device."""
    draw = GaussianNoise(level, level) if task.startswith("denoise") else JpegCompression(int(level), int(level))
    clean = pixels((16, 16), np.uint8)
    _, _, trained = draw(clean, np.random.default_rng(0))
    _, _, on_device = degrade(draw, torch.from_numpy(clean)[None, None], torch.Generator())
    spy = Spy()
    as_model(spy, task)(torch.zeros(1, 1, 4, 4), level)
    assert float(spy.condition) == float(on_device) == pytest.approx(trained, rel=1e-6)


@pytest.mark.parametrize(
    ("task", "level", "condition"),
    [("denoise-gray", 51, 0.2), ("denoise-gray", 0, 0.0), ("jpeg-gray", 25, 0.75), ("jpeg-gray", 100, 0.05)],
)
def test_the_level_becomes_the_networks_condition(task: ModelName, level: float, condition: float) -> None:
    spy = Spy()
    as_model(spy, task)(torch.rand(3, 1, 4, 5), level)
    assert spy.condition.shape == (3,)
    assert torch.allclose(spy.condition, torch.full((3,), condition))


def test_each_image_of_a_batch_has_its_own_level() -> None:
    spy = Spy()
    as_model(spy)(torch.rand(2, 1, 4, 5), torch.tensor([25.5, 51.0]))
    assert torch.allclose(spy.condition, torch.tensor([0.1, 0.2]))


def test_the_result_is_not_clamped_and_keeps_the_dtype() -> None:
    x = torch.tensor([[[[0.0, 1.0]]]], dtype=torch.float64)
    restored = as_model(Spy(0.25).half())(x, 10)
    assert restored.dtype == torch.float64
    assert restored.tolist() == [[[[0.25, 1.25]]]]


@pytest.mark.parametrize(
    ("shape", "level", "message"),
    [
        ((1, 3, 4, 4), 10, r"takes \(B, 1, H, W\), not \(1, 3, 4, 4\)"),
        ((4, 4), 10, r"takes \(B, 1, H, W\)"),
        ((3, 1, 4, 4), torch.tensor([1.0, 2.0]), r"shape \(3,\), one for each image"),
        ((1, 1, 4, 4), 256, "sigma is 0 to 255, not 256"),
        ((1, 1, 4, 4), -1, "sigma is 0 to 255, not -1"),
        ((1, 1, 4, 4), float("nan"), "sigma is 0 to 255, not nan"),
    ],
)
def test_calls_that_make_no_sense_are_refused(shape: tuple[int, ...], level: float | Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_model(Spy())(torch.zeros(shape), level)


@pytest.mark.parametrize("quality", [0, 101])
def test_no_such_quality(quality: float) -> None:
    with pytest.raises(ValueError, match=f"quality is 1 to 100, not {quality}"):
        as_model(Spy(), "jpeg-gray")(torch.zeros(1, 1, 4, 4), quality)


# ----------------------------------------------------------------------------------------------------- load_model


def test_a_loaded_model_computes_what_was_saved(tmp_path: Path) -> None:
    path = save_tiny_weights(tmp_path / "a.safetensors", "denoise-gray")
    reference = tiny_network(1).half().float()
    x = torch.rand(2, 1, 12, 10)

    model = vheatir.load_model(path)

    assert (model.name, model.channels, model.level_min, model.level_max) == ("denoise-gray", 1, 0.0, 55.0)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    torch.testing.assert_close(model(x, 51), reference(x, torch.tensor([0.2, 0.2])), atol=1e-6, rtol=1e-5)


def test_a_model_in_bfloat16_takes_and_gives_float32(tmp_path: Path) -> None:
    path = save_tiny_weights(tmp_path / "a.safetensors", "jpeg-color")
    x = torch.rand(1, 3, 9, 9)
    model = vheatir.load_model(path, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    restored = model(x, 30)
    assert restored.dtype == torch.float32
    torch.testing.assert_close(restored, vheatir.load_model(path)(x, 30), atol=0.02, rtol=0)


@pytest.mark.usefixtures("bundled")
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 20), (17, 5)])
def test_any_size_is_restored(size: tuple[int, int]) -> None:
    image = pixels(size, np.uint8)
    assert vheatir.restore(image, task="denoise", sigma=25).shape == size
    assert vheatir.load_model("denoise-gray")(torch.rand(1, 1, *size), 25).shape == (1, 1, *size)


def test_gradients_reach_the_image(tmp_path: Path) -> None:
    model = vheatir.load_model(save_tiny_weights(tmp_path / "a.safetensors", "denoise-gray"))
    x = torch.rand(1, 1, 8, 8, requires_grad=True)
    model(x, 10).sum().backward()
    assert x.grad is not None
    assert bool(x.grad.abs().sum() > 0)


# ------------------------------------------------------------------------------------- restore: kinds and numbers


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3)])
def test_arrays_come_back_as_they_are(dtype: Any, shape: tuple[int, ...]) -> None:
    image = pixels(shape, dtype)
    model = as_model(Spy(), "denoise-color" if shape[-1] == 3 else "denoise-gray")

    restored = vheatir.restore(image, task="denoise", sigma=10, model=model)

    assert isinstance(restored, np.ndarray)
    assert restored.dtype == image.dtype
    assert restored.shape == shape
    np.testing.assert_allclose(restored, image, atol=0 if dtype in (np.uint8, np.uint16, np.float32) else 1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 5, 7), (2, 1, 5, 7), (2, 3, 5, 7)])
def test_tensors_come_back_as_they_are(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    model = as_model(Spy(), "denoise-color" if shape[-3] == 3 else "denoise-gray")

    restored = vheatir.restore(image, task="denoise", sigma=10, model=model)

    assert restored.dtype == dtype
    assert restored.shape == shape
    torch.testing.assert_close(restored, image)


def test_results_are_rounded_and_clamped() -> None:
    image = np.array([[0, 100, 254, 255]], dtype=np.uint8)
    up, down = as_model(Spy(1.6 / 255), "jpeg-gray"), as_model(Spy(-0.4 / 255), "jpeg-gray")
    assert vheatir.restore(image, task="jpeg", quality=50, model=up).tolist() == [[2, 102, 255, 255]]
    assert vheatir.restore(image, task="jpeg", quality=50, model=down).tolist() == [[0, 100, 254, 255]]
    deep = image.astype(np.uint16) * 257
    darker = as_model(Spy(-100 / 65535), "jpeg-gray")
    assert vheatir.restore(deep, task="jpeg", quality=50, model=darker).tolist() == [[0, 25600, 65178, 65435]]
    bright = np.array([[-0.2, 0.5, 1.2]])
    assert vheatir.restore(bright, task="denoise", sigma=5, model=as_model(Spy())).tolist() == [[0.0, 0.5, 1.0]]


def test_the_network_sees_red_first_and_values_in_0_1() -> None:
    spy = Spy()
    image = np.zeros((2, 3, 3), dtype=np.uint8)
    image[..., 0], image[..., 2] = 255, 51
    vheatir.restore(image, task="denoise", sigma=5, model=as_model(spy, "denoise-color"))
    assert spy.x.shape == (1, 3, 2, 3)
    assert torch.allclose(spy.x[0, :, 0, 0], torch.tensor([1.0, 0.0, 0.2]))


def test_inputs_are_left_alone_whatever_their_memory() -> None:
    image = pixels((6, 8, 3), np.float32)
    image.flags.writeable = False
    view = image[::-1, ::2]
    model = as_model(Spy(0.25), "denoise-color")
    before = image.copy()
    restored = vheatir.restore(view, task="denoise", sigma=5, model=model)
    np.testing.assert_allclose(restored, np.minimum(view + 0.25, 1))
    assert np.array_equal(image, before)

    tensor = torch.rand(3, 4, 4)
    kept = tensor.clone()
    vheatir.restore(tensor, task="denoise", sigma=5, model=model)
    assert torch.equal(tensor, kept)


@pytest.mark.usefixtures("bundled")
def test_a_result_can_be_trained_on() -> None:
    """Neither the result nor what the operator caches may be an inference tensor."""
    restored = vheatir.restore(torch.rand(1, 1, 10, 14), task="denoise", sigma=25)
    assert not restored.is_inference()
    network = tiny_network(1)
    network(restored.requires_grad_(), torch.tensor([0.1])).sum().backward()
    assert restored.grad is not None


# ------------------------------------------------------------------------------------- restore: choosing the model


def mean_change(image: Array, **arguments: Any) -> float:
    return float((vheatir.restore(image, **arguments).astype(float) - image).mean() / 255)


@pytest.mark.usefixtures("bundled")
@pytest.mark.parametrize("level", [{"task": "denoise", "sigma": 15}, {"task": "jpeg", "quality": 40}])
def test_gray_and_colour_go_to_their_own_models(level: dict[str, Any]) -> None:
    gray = np.full((8, 8), 128, dtype=np.uint8)
    colour = np.stack([gray, gray, gray + 40], axis=2)
    equal = np.stack([gray] * 3, axis=2)

    assert mean_change(gray, **level) == pytest.approx(0.1, abs=0.03)
    assert mean_change(colour, **level) == pytest.approx(-0.1, abs=0.03)
    assert mean_change(equal, **level) == pytest.approx(0.1, abs=0.03)
    assert np.array_equal(vheatir.restore(equal, **level), np.stack([vheatir.restore(gray, **level)] * 3, axis=2))


@pytest.mark.usefixtures("bundled")
def test_the_level_changes_the_result() -> None:
    image = pixels((16, 16), np.uint16)
    weak, strong = (vheatir.restore(image, task="denoise", sigma=sigma) for sigma in (5, 50))
    assert not np.array_equal(weak, strong)


def test_models_are_loaded_once_and_again_when_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Path] = []

    def counted(path: Path) -> tuple[Any, WeightsHeader]:
        loads.append(path)
        return load_weights(path)

    monkeypatch.setattr(vheatir.inference.network, "load_weights", counted)
    path = save_tiny_weights(tmp_path / "a.safetensors", "denoise-gray", offset=0.1)
    image = np.full((8, 8), 128, dtype=np.uint8)

    for _ in range(3):
        assert mean_change(image, task="denoise", sigma=5, model=path) == pytest.approx(0.1, abs=0.03)
    assert len(loads) == 1

    save_tiny_weights(path, "denoise-gray", offset=-0.1)
    os.utime(path, ns=(0, 10**18))
    assert mean_change(image, task="denoise", sigma=5, model=path) == pytest.approx(-0.1, abs=0.03)
    assert len(loads) == 2


# -------------------------------------------------------------------------------------------- restore: bad requests


@pytest.mark.usefixtures("bundled")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "denoise"}, 'Task "denoise" takes sigma'),
        ({"task": "denoise", "sigma": 5, "quality": 5}, 'Task "denoise" takes sigma'),
        ({"task": "jpeg"}, 'Task "jpeg" takes quality'),
        ({"task": "jpeg", "quality": 5, "sigma": 5}, 'Task "jpeg" takes quality'),
        ({"task": "derain", "sigma": 5}, 'task is "photo", "denoise" or "jpeg", not \'derain\''),
        ({"task": "denoise", "sigma": 55.5}, "sigma is 0 to 55 for model denoise-gray, .* not 55.5"),
        ({"task": "denoise", "sigma": -1}, "sigma is 0 to 55"),
        ({"task": "denoise", "sigma": float("nan")}, "sigma is 0 to 55"),
        ({"task": "jpeg", "quality": 0}, "quality is 1 to 100, not 0"),
        ({"task": "jpeg", "quality": 101}, "quality is 1 to 100, not 101"),
        ({"task": "denoise", "sigma": 5, "model": "denoise-color"}, "The image is a gray one"),
        ({"task": "denoise", "sigma": 5, "model": "jpeg-gray"}, "Model jpeg-gray is for task jpeg, not denoise"),
        ({"task": "denoise", "sigma": 5, "model": "no-such"}, "neither a weights file nor a bundled model"),
        ({"task": "denoise", "sigma": 5, "device": "no-such"}, "Device no-such cannot be used"),
        ({"task": "denoise", "sigma": 5, "precision": "fp8"}, "precision is one of fp32, bf16, fp16"),
        ({"task": "denoise", "sigma": 5, "device": "cpu", "precision": "fp16"}, "fp16 is not supported on a CPU"),
    ],
)
def test_requests_that_cannot_be_met_say_why(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vheatir.restore(np.zeros((4, 4), dtype=np.uint8), **arguments)


@pytest.mark.usefixtures("bundled")
def test_a_colour_image_is_too_much_for_a_gray_model() -> None:
    with pytest.raises(ValueError, match="The image is a colour one and model denoise-gray"):
        vheatir.restore(pixels((4, 4, 3), np.uint8), task="denoise", sigma=5, model="denoise-gray")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        *(
            ({"tile": tile}, 'a side of 64 pixels or more, or is "auto", not ')
            for tile in (63, "64", None, 64.5, "Auto")
        ),
        *(
            ({"strength": factor}, "is a factor of 0 or more, not ")
            for factor in (-1, "1", None, 1j, [1], float("nan"))
        ),
        *(({"strength": np.array(factors)}, "is a factor of 0 or more, not ") for factors in ([1.0], [1.0, 2.0])),
    ],
)
def test_arguments_of_other_types_are_refused_in_words(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vheatir.Restorer("denoise", **arguments)


def test_images_may_come_from_a_generator() -> None:
    restorer = vheatir.Restorer("denoise", model=as_model(Spy()))
    restored = restorer.restore_many((np.zeros((8, 8), np.uint8) for _ in range(2)), sigma=5)  # type: ignore[arg-type]
    assert [image.shape for image in restored] == [(8, 8)] * 2


def test_a_loaded_model_keeps_its_device() -> None:
    with pytest.raises(ValueError, match="on its own device"):
        vheatir.restore(np.zeros((4, 4), dtype=np.uint8), task="denoise", sigma=5, model=as_model(Spy()), device="cpu")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), dtype=bool), "uint8, uint16, or float in .* not bool"),
        (np.zeros((4, 4), dtype=np.int32), "not int32"),
        (torch.zeros(1, 4, 4, dtype=torch.uint8), "must be float16, bfloat16, float32 or float64"),
        (torch.zeros(1, 4, 4).to(torch.float8_e5m2), "must be float16, bfloat16, float32 or float64"),
        (torch.zeros(1, 4, 4).to_sparse(), "sparse, or on the device meta"),
        (torch.zeros(1, 4, 4, device="meta"), "sparse, or on the device meta"),
        ([[0.5]], r"NumPy array or a torch tensor, not list\.$"),
        (PillowImage.new("RGB", (4, 4)), r"torch tensor, not Image; give numpy\.asarray\(image\)"),
    ],
)
def test_other_types_are_refused(image: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        vheatir.restore(image, task="denoise", sigma=5, model=as_model(Spy()))


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("kind", [np.matrix, np.ma.masked_array])
@pytest.mark.parametrize("sigma", [15, "auto"])
def test_arrays_of_other_classes_are_refused(kind: Any, sigma: Any) -> None:
    """A matrix stays two-dimensional whatever is asked of it, which ended the process."""
    with pytest.raises(TypeError, match=r"must be a plain NumPy array, not \w+; give numpy\.asarray\(image\)"):
        vheatir.restore(kind(pixels((16, 16), np.uint8)), task="denoise", sigma=sigma, model=as_model(Spy()))


@pytest.mark.parametrize("shape", [(16, 20), (16, 20, 3)])
def test_either_byte_order_gives_the_same_numbers(shape: tuple[int, ...]) -> None:
    task: ModelName = "denoise-gray" if len(shape) == 2 else "denoise-color"
    image = pixels(shape, np.uint16)
    for native, other in ((np.dtype("=u2"), ">u2"), (np.dtype("=f4"), ">f4")):
        plain = image if native.kind == "u" else (image / 65535).astype(native)
        swapped = plain.astype(other)
        results = [
            vheatir.restore(array, task="denoise", sigma=15, model=as_model(Spy(0.1), task))
            for array in (plain, swapped)
        ]
        assert results[1].dtype == swapped.dtype
        assert np.array_equal(results[0], results[1])


@pytest.mark.parametrize(
    "sigma", [np.float32(15), np.array(15), np.array([15]), torch.tensor(15.0), [15], (15, 15, 15)]
)
def test_sigma_is_any_kind_of_number(sigma: Any) -> None:
    image, spy = pixels((16, 16), np.uint8), Spy()
    vheatir.restore(image, task="denoise", sigma=sigma, model=as_model(spy))
    assert float(spy.condition.max()) == pytest.approx(15 / 255)


@pytest.mark.parametrize(
    ("sigma", "error", "message"),
    [
        ("15", ValueError, "sigma is a number, or three for R, G and B, or \"auto\", not the text '15'"),
        (b"auto", ValueError, "not the text"),
        (True, TypeError, "not True"),
        (np.bool_(True), TypeError, "not np.True_|not True"),
        ([True, False, True], TypeError, "not .True, False, True."),
        (["1", "2", "3"], TypeError, "not .'1', '2', '3'."),
        (10**400, TypeError, "not int"),
        ({"sigma": 15}, TypeError, "not dict"),
        (15j, TypeError, "not complex"),
        (object(), TypeError, "not object"),
        (["a", "b", "c"], TypeError, "not list"),
        (np.zeros((3, 1)), TypeError, 'sigma is a number, or three for R, G and B, or "auto"'),
        (np.array([1.0, 2.0]), ValueError, "three for R, G and B, not 2"),
        ([], ValueError, "three for R, G and B, not 0"),
        ((5, -5, 5), ValueError, "0 or more in each channel, not 5, -5, 5"),
        ((5, float("nan"), 5), ValueError, "0 or more in each channel"),
        (float("nan"), ValueError, "sigma is 0 to 55"),
    ],
)
def test_other_levels_are_refused_in_our_words(sigma: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        vheatir.restore(pixels((16, 16), np.uint8), task="denoise", sigma=sigma, model=as_model(Spy()))


@pytest.mark.parametrize("quality", ["75", np.array([75, 80]), None, [], True])
def test_other_qualities_are_refused_in_our_words(quality: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="quality"):
        vheatir.restore(pixels((16, 16), np.uint8), task="jpeg", quality=quality, model=as_model(Spy(), "jpeg-gray"))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 4)), r"not \(4, 4, 4\)"),
        (np.zeros(4), r"not \(4,\)"),
        (torch.zeros(4, 4), "Tensors must be"),
        (torch.zeros(2, 4, 4), "Tensors must be"),
        (np.zeros((0, 4), dtype=np.uint8), r"empty: its shape is \(0, 4\)"),
        (torch.zeros(0, 1, 4, 4), "empty"),
        (np.full((4, 4), np.nan), "NaN or infinite"),
        (np.full((4, 4), 200.0), r"Float images are in \[0, 1\]; this one reaches from 200 to 200"),
    ],
)
def test_other_shapes_and_scales_are_refused(image: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vheatir.restore(image, task="denoise", sigma=5, model=as_model(Spy()))


def test_a_quality_outside_the_training_is_bounded_with_a_note(caplog: pytest.LogCaptureFixture) -> None:
    spy = Spy()
    with caplog.at_level(logging.WARNING, logger="vheatir"):
        for _ in range(2):
            vheatir.restore(pixels((4, 4), np.uint8), task="jpeg", quality=3, model=as_model(spy, "jpeg-gray"))
    assert spy.condition.tolist() == pytest.approx([0.9])
    assert caplog.messages == ["quality 3: model jpeg-gray was trained for 10 to 95, so 10 is used"]


# ------------------------------------------------------------------------------------------------------ precision


class Convolution(nn.Module):
    """A convolution that remembers the type it computed in; as autocast decides."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
        self.dtypes: list[torch.dtype] = []

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        self.dtypes.append(y.dtype)
        return y


class Overflowing(Convolution):
    """Gives NaN in anything but float32; adds 0.5 in that."""

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        super().forward(x, condition)
        return x + 0.5 if self.dtypes[-1] == torch.float32 else x * torch.nan


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_precision_is_that_of_the_network(precision: Precision, dtype: torch.dtype) -> None:
    network = Convolution()
    with torch.autocast("cpu", dtype=torch.bfloat16):  # an outer one must not decide
        restored = vheatir.restore(
            pixels((4, 4), np.float32), task="denoise", sigma=5, model=as_model(network), precision=precision
        )
    assert network.dtypes == [dtype]
    assert restored.dtype == np.float32


def test_what_overflows_is_computed_again_in_fp32(caplog: pytest.LogCaptureFixture) -> None:
    network = Overflowing()
    image = np.zeros((2, 3), dtype=np.float32)
    with caplog.at_level(logging.WARNING, logger="vheatir"):
        restored = vheatir.restore(image, task="denoise", sigma=5, model=as_model(network), precision="bf16")
    assert restored.tolist() == [[0.5] * 3] * 2
    assert network.dtypes == [torch.bfloat16, torch.float32]
    assert caplog.messages == ["bf16 overflowed on a tile of 3x2: computed again in fp32"]


def test_weights_that_give_no_numbers_are_reported() -> None:
    with pytest.raises(RestorationError, match="not finite; check its weights"):
        vheatir.restore(np.zeros((2, 3), dtype=np.uint8), task="denoise", sigma=5, model=as_model(Spy(float("nan"))))


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    assert set(vheatir.__all__) <= set(dir(vheatir))
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        vheatir.no_such_name  # noqa: B018


# ---------------------------------------------------------------------------------------------- bundled weights


def psnr(a: Array, b: Array) -> float:
    error = np.mean((a.astype(float) - b.astype(float)) ** 2)
    return float(10 * np.log10(255.0**2 / error))


def photograph(task: ModelName) -> Array:
    image = skimage.data.camera() if task.endswith("gray") else skimage.data.astronaut()
    return cast("Array", image[:192, 128:320])


@pytest.mark.parametrize("task", ["denoise-gray", "denoise-color"])
def test_bundled_weights_denoise(task: ModelName) -> None:
    clean = photograph(task)
    noise = np.random.default_rng(0).normal(0, 25, clean.shape)
    noisy = np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)

    restored = vheatir.restore(noisy, task="denoise", sigma=25, device="cpu")

    assert psnr(restored, clean) > psnr(noisy, clean) + 5.0


@pytest.mark.parametrize("task", ["jpeg-gray", "jpeg-color"])
def test_bundled_weights_remove_jpeg_artifacts(task: ModelName) -> None:
    clean = photograph(task)
    _, data = cv2.imencode(".jpg", clean[..., ::-1] if clean.ndim == 3 else clean, [cv2.IMWRITE_JPEG_QUALITY, 10])
    decoded = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    compressed = np.ascontiguousarray(decoded[..., ::-1]) if decoded.ndim == 3 else decoded

    restored = vheatir.restore(compressed, task="jpeg", quality=10, device="cpu")

    assert psnr(restored, clean) > psnr(compressed, clean) + 0.3


def test_bundled_weights_cover_the_promised_levels() -> None:
    promised: dict[Task, tuple[float, float]] = {"denoise": (0, 55), "jpeg": (10, 95)}
    for degradation, levels in promised.items():
        for colour in ("gray", "color"):
            model = vheatir.load_model(f"{degradation}-{colour}")
            assert (model.level_min, model.level_max) == levels


@pytest.mark.usefixtures("bundled")
@pytest.mark.parametrize("level", [{"task": "denoise", "sigma": 20}, {"task": "jpeg", "quality": 30}])
def test_many_images_come_back_in_order_as_if_alone(level: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    shapes = [(5, 6), (5, 6, 3), (70, 80), (5, 6), (6, 5), (5, 6, 3), (5, 6, 1)] + [(8, 8)] * 20
    images: list[Array] = [(rng.random(shape) * 255).astype(np.uint8) for shape in shapes]
    images[3] = images[3].astype(np.float32) / 255
    images[5][..., 1:] = images[5][..., :1]  # gray in three channels
    restorer = vheatir.Restorer(level["task"], device="cpu")
    rest = {name: value for name, value in level.items() if name != "task"}
    for image, together in zip(images, restorer.restore_many(images, **rest), strict=True):
        alone = restorer.restore(image, **rest)
        assert (together.dtype, together.shape) == (image.dtype, image.shape)
        np.testing.assert_allclose(together.astype(float), alone, atol=1e-5 if image.dtype == np.float32 else 1)
        assert np.mean(together != alone) < 0.02 or image.dtype == np.float32  # rounding at the half


def test_small_images_of_one_kind_go_together() -> None:
    sizes: list[tuple[int, ...]] = []

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1), requires_grad=False)

        def forward(self, x: Tensor, condition: Tensor) -> Tensor:
            sizes.append(tuple(x.shape))
            return x

    model = RestorationNetwork(
        Counting(), WeightsHeader("denoise-gray", {"sigma": (0.0, 55.0)}, "VHeatIR", {}, {}, "CC0-1.0")
    )
    shapes = [(8, 8)] * 18 + [(100, 100)] * 2
    vheatir.Restorer("denoise", model=model).restore_many([np.zeros(shape, np.uint8) for shape in shapes], sigma=5)
    assert sizes == [(16, 1, 8, 8), (2, 1, 8, 8), (1, 1, 100, 100), (1, 1, 100, 100)]


@pytest.mark.parametrize("task", ["denoise-gray", "denoise-color"])
@pytest.mark.parametrize("name", ["camera", "astronaut", "coffee", "chelsea"])
def test_bundled_weights_leave_clean_images_alone(task: ModelName, name: str) -> None:
    image = getattr(skimage.data, name)()[100:260, 120:300]
    gray = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    clean = gray if task == "denoise-gray" else np.stack((gray,) * 3, -1) if image.ndim == 2 else image
    restored = vheatir.restore(clean, task="denoise", sigma=0, model=task, device="cpu")
    assert np.abs(restored.astype(float) - clean).mean() < 1


# ------------------------------------------------------------------------------------------------ nearly good images


@pytest.mark.parametrize(
    ("task", "level", "share"),
    [
        ("denoise-gray", 0, 0.0),
        ("denoise-gray", 1, 0.4),  # of σ 2.5
        ("denoise-gray", 2.5, 1.0),
        ("denoise-gray", 50, 1.0),
        ("jpeg-gray", 100, 0.0),
        ("jpeg-gray", 99, 0.06),
        ("jpeg-gray", 95, 0.3),
        ("jpeg-gray", 93.5, 0.65),
        ("jpeg-gray", 92, 1.0),
        ("jpeg-gray", 10, 1.0),
    ],
)
def test_the_correction_fades_towards_level_zero(task: ModelName, level: float, share: float) -> None:
    x = torch.rand(2, 1, 4, 5)
    restored = as_model(Spy(offset=0.5), task)(x, level)
    assert torch.allclose(restored - x, torch.full_like(x, 0.5 * share), atol=1e-6)


@pytest.mark.parametrize("options", [{"task": "denoise", "sigma": 0}, {"task": "jpeg", "quality": 100}])
@pytest.mark.parametrize("name", ["camera", "astronaut"])
def test_what_is_said_to_be_good_is_returned_as_it_is(name: str, options: dict[str, Any]) -> None:
    image = getattr(skimage.data, name)()[100:180, 120:210]
    np.testing.assert_array_equal(vheatir.restore(image, **options), image)


@pytest.mark.parametrize("quality", range(95, 101))
def test_files_of_high_quality_lose_nothing(quality: int) -> None:
    losses = []
    for name in ("astronaut", "coffee", "chelsea", "rocket"):
        photo = getattr(skimage.data, name)()
        for top, left in ((60, 100), (120, 180), (180, 30)):
            clean = np.ascontiguousarray(photo[top : top + 96, left : left + 96])
            _, encoded = cv2.imencode(".jpg", clean[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
            decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
            assert decoded is not None
            compressed = np.ascontiguousarray(decoded[..., ::-1], dtype=np.uint8)
            restored = vheatir.restore(compressed, task="jpeg", quality=quality, device="cpu")
            losses.append(psnr(compressed, clean) - psnr(restored, clean))
    assert np.mean(losses) < 0.1
