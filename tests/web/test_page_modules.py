"""The page's own arithmetic, run by node, against the Python it repeats."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tiny_weights import save_tiny_weights

import vheatir
from vheatir.cli.main import main
from vheatir.imageio.jpeg import jpeg_quality
from vheatir.inference.clipping import with_clipped_mean
from vheatir.inference.runner import tile_overlap
from vheatir.inference.tiling import axis_tiles, restore_in_tiles
from vheatir.levels.levels import Levels, scaled_levels, trained_levels
from vheatir.weights.file import MODELS, Task, read_header, weights_path

MODULES: Final = Path(__file__).resolve().parents[2] / "web" / "page" / "js"
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def run_node(body: str, value: object) -> Any:
    """Run JavaScript whose ``given`` is a value, with the page's modules, and return what it gives back."""
    imports = "".join(
        f"import * as {name} from {json.dumps((MODULES / f'{name}.js').as_uri())};\n"
        for name in ("tiling", "clipping", "plan", "jpeg")
    )
    read = 'import { readFileSync } from "node:fs"; const given = JSON.parse(readFileSync(0, "utf8"));\n'
    code = f"{imports}{read}const answer = await (async () => {{ {body} }})();\nconsole.log(JSON.stringify(answer));"
    done = subprocess.run(
        ["node", "--input-type=module", "-e", code],
        input=json.dumps(value),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_tiles_lie_and_weigh_as_in_python() -> None:
    cases = [(1, 64, 32), (512, 512, 80), (513, 512, 80), (1000, 128, 64), (4000, 512, 112), (77, 65, 30)]
    body = "return given.map((args) => tiling.axisTiles(...args).map((t) => ({ ...t, weight: Array.from(t.weight) })));"
    for case, tiles in zip(cases, run_node(body, cases), strict=True):
        expected = axis_tiles(*case)
        assert [(tile["start"], tile["stop"]) for tile in tiles] == [(tile.start, tile.stop) for tile in expected]
        for tile, python in zip(tiles, expected, strict=True):
            np.testing.assert_allclose(tile["weight"], python.weight, atol=1e-7)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_cut_and_blended_as_in_python(channels: int) -> None:
    """By a stand-in for a network whose result depends on the place in the tile, so that every weight shows."""
    image = np.random.default_rng(0).random((1, channels, 90, 150), dtype=np.float32)
    size = {"width": 150, "height": 90, "channels": channels, "tile": 64, "overlap": 24}
    body = """
    const { width, height, channels } = given.size;
    const result = new Array(channels * height * width).fill(null);
    const told = [];
    await tiling.restoreInBands(
      given.size,
      async (rows, columns) => {
        const h = rows.stop - rows.start, w = columns.stop - columns.start, tile = new Float32Array(channels * h * w);
        for (let c = 0; c < channels; c++) for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) {
          const value = given.image[(c * height + rows.start + y) * width + columns.start + x];
          tile[(c * h + y) * w + x] = value + y / h + (2 * x) / w;
        }
        return tile;
      },
      (top, count, band) => {
        const side = band.length / channels;
        for (let c = 0; c < channels; c++) for (let i = 0; i < count * width; i++) {
          result[(c * height + top) * width + i] = band[c * side + i];
        }
      },
      (done, all) => told.push([done, all]),
    );
    return { result, told };
    """
    answer = run_node(body, {"size": size, "image": image.flatten().tolist()})

    def stand_in(x: NDArray[np.float32]) -> NDArray[np.float32]:
        h, w = x.shape[-2:]
        return np.asarray(x + np.arange(h)[:, None] / h + 2 * np.arange(w) / w, dtype=np.float32)

    expected = restore_in_tiles(stand_in, image, tile=64, overlap=24)
    np.testing.assert_allclose(answer["result"], expected.flatten(), atol=2e-6)
    assert answer["told"] == [[done, len(answer["told"])] for done in range(1, len(answer["told"]) + 1)]


def test_clipped_noise_gets_its_mean_back_as_in_python() -> None:
    restored = np.linspace(-0.05, 1.05, 24 * 40, dtype=np.float32).reshape(1, 1, 24, 40).repeat(2, axis=1)
    sigma = 0.1
    noise = np.random.default_rng(0).standard_normal(restored.shape, dtype=np.float32)
    noisy = (restored + np.float32(sigma) * noise).clip(0, 1)
    body = """
    const values = Float32Array.from(given.restored), size = { channels: 2, width: 40, height: 24 };
    clipping.giveBackClippedMean(values, Float32Array.from(given.noisy), size, given.sigma);
    return Array.from(values);
    """
    value = {"restored": restored.flatten().tolist(), "noisy": noisy.flatten().tolist(), "sigma": sigma}
    expected = with_clipped_mean(restored, noisy, sigma)
    assert np.abs(expected - restored).max() > 0.02
    np.testing.assert_allclose(run_node(body, value), expected.flatten(), atol=1e-5)


def test_given_levels_are_told_as_in_python() -> None:
    levels: list[tuple[Task, float]] = [("denoise", 20), ("denoise", 50), ("jpeg", 10), ("jpeg", 40), ("jpeg", 95)]
    cases = [(*level, strength, gray) for level in levels for strength in (0, 0.5, 1, 2) for gray in (True, False)]
    body = "return given.map(([task, level, strength, gray]) => plan.planFor({ task, level, strength }, gray));"
    for (task, level, strength, gray), plan in zip(cases, run_node(body, cases), strict=True):
        header = read_header(weights_path(f"{task}-{'gray' if gray else 'color'}"))
        given = Levels(sigma=level) if task == "denoise" else Levels(quality=level)
        told = scaled_levels(header, trained_levels(header, given), strength)
        assert plan["model"] == header.name
        assert plan["channels"] == header.channels
        assert plan["levels"] == pytest.approx({name: getattr(told, name) for name in header.ranges})
        assert plan["overlap"] == tile_overlap(task, told)
        assert plan["lostSigma"] == pytest.approx((told.sigma or 0) / 255)


def test_levels_that_nobody_gives_are_left_to_the_photo_model() -> None:
    body = "return given.map((task) => plan.planFor({ task, level: null, strength: 0.5 }, true));"
    plans = run_node(body, ["photo", "denoise", "jpeg"])
    assert {(plan["model"], plan["channels"], plan["overlap"], plan["lostSigma"]) for plan in plans} == {
        ("photo", 3, tile_overlap("photo", Levels()), 0)
    }
    told = [(-1, -1), (-1, 100), (0, -1)]
    assert [plan["levels"] for plan in plans] == [
        {"sigma": sigma, "quality": quality, "strength": 0.5} for sigma, quality in told
    ]


def test_the_quality_of_a_file_is_read_as_in_python() -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 24, 3), np.uint8))
    coarse = [255] * 64
    cases: list[dict[str, Any]] = [{"quality": quality} for quality in (1, 10, 49, 50, 87, 100)]
    cases += [{"quality": 30, "exif": Image.Exif(), "progressive": True}, {"qtables": [coarse, [9] * 64]}]
    files = []
    for options in cases:
        photo.save(file := BytesIO(), "JPEG", **options)
        files.append(file.getvalue())
    files[0] = files[0].replace(b"\xff\xdb", b"\xff\xff\xdb")  # a byte that fills up
    body = "return given.map((hex) => jpeg.savedQuality(Uint8Array.from(Buffer.from(hex, 'hex'))));"
    assert run_node(body, [file.hex() for file in files]) == [jpeg_quality(file) for file in files]
    broken = [b"", b"\xff\xd8", files[0][:40], b"\x89PNG no JPEG file"]
    assert run_node(body, [file.hex() for file in broken]) == [None] * len(broken)


def test_the_javascript_of_the_documents_restores(repository: Path, tmp_path: Path) -> None:
    if not (MODULES.parents[1] / "node_modules" / "onnxruntime-web").is_dir():
        pytest.skip("onnxruntime-web is not installed: make web")
    weights = save_tiny_weights(tmp_path / "small.safetensors", "denoise-color")
    assert main(["export", "--format", "onnx", "--model", str(weights), str(tmp_path / "denoise-color.onnx")]) == 0
    code = re.search(r"```js\n(.*?)```", (repository / "docs" / "onnx.md").read_text("utf-8"), re.DOTALL)
    assert code is not None
    (tmp_path / "node_modules").symlink_to(MODULES.parents[1] / "node_modules")
    (tmp_path / "example.mjs").write_text(
        "globalThis.ImageData = class { constructor(data) { this.data = data; } };\n"
        f"{code[1]}\n"
        "const data = Uint8ClampedArray.from({ length: 4 * 20 * 31 }, (_, i) => (i * 7919) % 256);\n"
        "const restored = await restore({ data, width: 31, height: 20 }, 25);\n"
        "console.log(JSON.stringify([data, restored.data].map((values) => Array.from(values))));"
    )
    done = subprocess.run(
        ["node", "example.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    before, after = (np.array(values, np.uint8).reshape(20, 31, 4) for values in json.loads(done.stdout))
    model = vheatir.load_model(weights)
    x = torch.from_numpy(before[..., :3].copy()).permute(2, 0, 1)[None] / 255
    expected = (255 * model(x, 25)[0].clamp(0, 1)).round().permute(1, 2, 0).numpy()
    assert np.abs(after[..., :3] - expected).max() <= 1
    assert np.abs(expected - before[..., :3]).max() > 5
    assert (after[..., 3] == before[..., 3]).all()


def test_the_form_offers_the_trained_levels() -> None:
    ranges = run_node("return plan.RANGES;", None)
    for name in MODELS:
        assert {level: list(limits) for level, limits in read_header(weights_path(name)).ranges.items()}.items() <= (
            ranges.items()
        )
