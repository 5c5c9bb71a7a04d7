"""Restoring without torch gives what torch gives: the same pixels to 1/255, reports, exit codes and sentences."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
import torch
from report_lines import read_report
from tiny_weights import save_tiny_weights

import vheatir
from vheatir.cli.main import main
from vheatir.levels.levels import Levels
from vheatir.weights.file import BUNDLED_WEIGHTS, Task, WeightsError

onnxruntime = pytest.importorskip("onnxruntime", reason="the backend onnx needs pip install 'vheatir[onnx]'")

from vheatir.inference.backends.onnx import OnnxModel  # noqa: E402  # imports what may be missing

Array = npt.NDArray[Any]
Captured = pytest.CaptureFixture[str]

#: what a machine without torch has none of; find_spec finds none of them either
WITHOUT_TORCH = """
import sys
for name in ("torch", "onnx", "onnxscript", "lpips", "basicsr", "torchvision", "msgspec"):
    sys.modules[name] = None
from vheatir.cli.main import main
sys.exit(main())
"""


def restore_without_torch(*words: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WITHOUT_TORCH, "restore", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=400, check=False)


def restored(folder: Path) -> dict[str, Array]:
    pictures = {path.name: cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in folder.iterdir()}
    return {name: cast("Array", picture) for name, picture in pictures.items()}


def report(path: Path) -> list[dict[str, Any]]:
    """What became of each file, but for the seconds and the folder."""
    records = read_report(path)
    return [{key: value for key, value in record.items() if key not in ("seconds", "result")} for record in records]


def degraded(kind: str) -> Array:
    image = skimage.data.astronaut()[30:130, 150:278]
    noise = np.random.default_rng(0).normal(0, 20, image.shape)
    noisy = np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
    kinds: dict[str, Array] = {"gray": noisy[..., 1], "color": noisy, "16 bits": noisy.astype(np.uint16) * 257}
    return kinds[kind]


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("photo", ["--strength", "0.8"]),
        ("photo", ["--quality", "40", "--ensemble", "--tile", "64"]),
        ("denoise", ["--sigma", "auto", "--tile", "96"]),
        ("jpeg", []),
    ],
)
def test_the_command_needs_no_torch(task: Task, words: Sequence[str], source: Path, tmp_path: Path) -> None:
    if task == "jpeg":
        cv2.imwrite(str(source / "color.jpg"), degraded("color"), [cv2.IMWRITE_JPEG_QUALITY, 20])
        cv2.imwrite(str(source / "gray.jpg"), degraded("gray"), [cv2.IMWRITE_JPEG_QUALITY, 40])
    else:
        for kind in ("gray", "color", "16 bits"):
            cv2.imwrite(str(source / f"{kind}.png"), degraded(kind))
        (source / "broken.png").write_bytes(b"no picture")
    options = ["--task", task, *words]
    outputs = [tmp_path / name for name in ("torch", "onnx")]
    reports = [output.with_suffix(".jsonl") for output in outputs]
    expected = main(["restore", *options, "--report", str(reports[0]), str(source), str(outputs[0])])
    done = restore_without_torch(*options, "--report", reports[1], source, outputs[1])
    assert done.returncode == expected == (0 if task == "jpeg" else 1), done.stderr
    assert report(reports[1]) == report(reports[0])
    results = [restored(output) for output in outputs]
    assert results[0].keys() == results[1].keys()
    for name, picture in results[0].items():
        other = results[1][name]
        assert picture.dtype == other.dtype
        step = 257 if picture.dtype == np.uint16 else 1
        assert np.abs(picture.astype(int) - other.astype(int)).max() <= step
        before = cv2.imread(str(source / name), cv2.IMREAD_UNCHANGED)
        assert task == "jpeg" or np.abs(picture.astype(int) - cast("Array", before)).max() > 5 * step


def test_torch_is_asked_for_where_it_is_needed(source: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(source / "a.png"), degraded("gray"))
    done = restore_without_torch("--task", "photo", "--backend", "torch", source, tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr == 'error: torch is not installed: pip install "torch".\n'


@pytest.fixture
def graphs(bundled: Path) -> Path:
    """Tiny weights in place of the bundled ones, with their graphs."""
    assert main(["export", "--format", "graph", str(bundled)]) == 0
    return bundled


@pytest.mark.usefixtures("graphs")
def test_arrays_and_tensors_of_any_kind() -> None:
    image = degraded("color")
    kinds: list[Array] = [image, image[..., 0], (image / 255).astype(np.float32), degraded("16 bits"), image / 255]
    for array in kinds:
        results = [
            vheatir.Restorer("denoise", backend=backend).restore(array, sigma=20) for backend in ("torch", "onnx")
        ]
        assert results[0].dtype == results[1].dtype
        scale = np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1.0
        assert np.abs(results[0] / scale - results[1] / scale).max() < 1.01 / 255
    batch = torch.rand(2, 3, 20, 30, dtype=torch.float64)
    tensors = [vheatir.Restorer("photo", backend=backend).restore(batch) for backend in ("torch", "onnx")]
    torch.testing.assert_close(tensors[0], tensors[1], rtol=0, atol=1e-5)
    assert float((tensors[0] - batch).abs().max()) > 0.01


@pytest.mark.usefixtures("graphs")
def test_small_images_go_together() -> None:
    images = [degraded("gray")[:20, :30], degraded("gray")[20:40, :30], degraded("color")]
    alone = [vheatir.Restorer("denoise").restore(image, sigma=20) for image in images]
    together = vheatir.Restorer("denoise", backend="onnx").restore_many(images, sigma=20)
    for one, other in zip(alone, together, strict=True):
        assert np.abs(one.astype(int) - other.astype(int)).max() <= 1


def test_weights_of_ones_own_need_their_graph(tmp_path: Path) -> None:
    weights = save_tiny_weights(tmp_path / "mine.safetensors", "denoise-gray")
    restorer, image = vheatir.Restorer("denoise", model=weights, backend="onnx"), degraded("gray")
    with pytest.raises(
        WeightsError, match=r"has no graph mine.onnx beside it; write it, .*export --format graph .*mine"
    ):
        restorer.restore(image, sigma=20)
    assert main(["export", "--format", "graph", str(tmp_path / "mine.onnx")]) == 0
    expected = vheatir.restore(image, task="denoise", sigma=20, model=weights)
    assert np.abs(restorer.restore(image, sigma=20).astype(int) - expected.astype(int)).max() <= 1
    for graph in (b"no graph", (BUNDLED_WEIGHTS / "denoise-gray.onnx").read_bytes()):
        damaged = save_tiny_weights(tmp_path / "damaged.safetensors", "denoise-gray")
        damaged.with_suffix(".onnx").write_bytes(graph)
        with pytest.raises(WeightsError, match=r"damaged.onnx is damaged, or of weights of another name; write it"):
            vheatir.Restorer("denoise", model=damaged, backend="onnx").restore(image, sigma=20)
    save_tiny_weights(weights, "denoise-color")
    with pytest.raises(WeightsError, match=r"mine.onnx is the graph of other weights; write it"):
        restorer.restore(degraded("color"), sigma=20)


def test_a_forked_process_makes_a_session_of_its_own() -> None:
    """It has none of its parent's threads, and would wait for them without end."""
    code = """
import os, sys, numpy as np, vheatir
restorer = vheatir.Restorer("denoise", backend="onnx")
image = np.zeros((64, 64), np.uint8)
expected = restorer.restore(image, sigma=20)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(restorer.restore(image, sigma=20), expected) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, timeout=300, check=False)
    assert done.returncode == 0


def test_memory_that_runs_out_is_an_error_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def run(self, *_: object) -> None:
            raise onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException("Failed to allocate memory for buffer")

    monkeypatch.setattr("vheatir.inference.backends.onnx._session", lambda *_: Full())
    weights = save_tiny_weights(tmp_path / "a.safetensors", "denoise-gray")
    model = OnnxModel(weights, ("CPUExecutionProvider",))
    with pytest.raises(MemoryError):
        model.restore(np.zeros((1, 1, 8, 8), np.float32), Levels(sigma=5), 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "jax"}, "backend is auto, torch or onnx, not 'jax'"),
        ({"backend": "torch", "provider": "cuda"}, "provider belongs to the backend onnx"),
        ({"backend": "onnx", "precision": "bf16"}, "backend onnx computes in fp32 on the CPU, or on a provider"),
        ({"backend": "onnx", "device": "cuda"}, "backend onnx computes in fp32 on the CPU, or on a provider"),
        ({"provider": "nothing"}, "This onnxruntime has no provider nothing; it has .*cpu. .*onnxruntime-gpu"),
    ],
)
def test_options_that_do_not_fit_say_why(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vheatir.Restorer("photo", **options)


@pytest.mark.usefixtures("graphs")
def test_a_provider_that_does_not_work_is_no_silent_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as CUDA's without its libraries: onnxruntime computes on the CPU then."""
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    made = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *given, **_: made(*given, providers=names[1:]))
    with pytest.raises(ValueError, match="CUDAExecutionProvider could not be started on this machine; leave"):
        vheatir.Restorer("denoise", provider="cuda").restore(degraded("gray"), sigma=20)


@pytest.mark.parametrize("provider", ["cpu", "CPUExecutionProvider"])
def test_a_provider_chooses_the_backend(provider: str) -> None:
    with pytest.raises(ValueError, match="A loaded model is torch's"):
        vheatir.Restorer("photo", provider=provider, model=vheatir.load_model("photo")).check()
