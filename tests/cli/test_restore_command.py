from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from tiny_weights import save_tiny_weights

import vheatir
import vheatir.weights.file
from vheatir.cli.main import main
from vheatir.imageio.images import Image
from vheatir.imageio.read import read_image
from vheatir.imageio.write import write_image
from vheatir.inference.arrays import Canvas
from vheatir.inference.runner import TileRunner

Array = npt.NDArray[Any]
Captured = pytest.CaptureFixture[str]

DENOISE = ("--task", "denoise", "--sigma", "25", "--device", "cpu")
JPEG = ("--task", "jpeg", "--device", "cpu")


pytestmark = pytest.mark.usefixtures("bundled")


def pixels(*shape: int, dtype: type[np.unsignedinteger[Any]] = np.uint8) -> Array:
    peak = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(peak // 4, peak // 2, shape, dtype=dtype)


def put(path: Path, array: Array, alpha: Array | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, Image(pixels=array, alpha=alpha))
    return path


def put_jpeg(path: Path, array: Array, quality: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def run(source: Path, output: Path, *options: str) -> int:
    return main(["restore", *options, str(source), str(output)])


# ---------------------------------------------------------------------------------------------- what comes out


def test_a_folder_is_restored_with_its_structure(source: Path, output: Path, capsys: Captured) -> None:
    gray, colour = pixels(9, 11), pixels(7, 6, 3)
    put(source / "gray.png", gray)
    put(source / "sub" / "deep er" / "colour é.tif", colour)
    (source / "notes.txt").write_text("no image")
    before = {name: (source / name).read_bytes() for name in files_below(source)}

    assert run(source, output, *DENOISE) == 0

    assert files_below(output) == ["gray.png", "sub/deep er/colour é.tif"]
    for name, image in (("gray.png", gray), ("sub/deep er/colour é.tif", colour)):
        expected = vheatir.restore(image, task="denoise", sigma=25, device="cpu")
        assert np.array_equal(read_image(output / name).pixels, expected)
        assert not np.array_equal(expected, image)
    assert {name: (source / name).read_bytes() for name in files_below(source)} == before
    lines = capsys.readouterr().out.splitlines()
    assert [line.rsplit("  ", 1)[0] for line in lines[:2]] == [
        "gray.png  11x9  sigma 25",
        "sub/deep er/colour é.tif  6x7  sigma 25",
    ]
    assert lines[2].startswith(f"2 restored to {output}, 0 failed, ")
    assert len(lines) == 3


def test_gray_goes_up_and_colour_goes_down(source: Path, output: Path) -> None:
    gray, colour = pixels(8, 8), pixels(8, 8, 3)
    put(source / "gray.png", gray)
    put(source / "colour.png", colour)
    put(source / "equal.png", np.stack([gray] * 3, axis=2))

    assert run(source, output, *DENOISE) == 0

    assert read_image(output / "gray.png").pixels.mean() > gray.mean() + 15
    assert read_image(output / "colour.png").pixels.mean() < colour.mean() - 15
    equal = read_image(output / "equal.png").pixels
    assert equal.shape == (8, 8, 3)
    assert np.array_equal(equal[..., 1], read_image(output / "gray.png").pixels)


def test_bit_depth_and_alpha_are_kept(source: Path, output: Path) -> None:
    alpha = pixels(8, 8, dtype=np.uint16)
    put(source / "deep.png", pixels(8, 8, 3, dtype=np.uint16), alpha)

    assert run(source, output, *DENOISE) == 0

    image = read_image(output / "deep.png")
    assert image.pixels.dtype == np.uint16
    assert image.alpha is not None
    assert np.array_equal(image.alpha, alpha)


def test_one_file_may_be_given(source: Path, output: Path) -> None:
    put(source / "a.bmp", pixels(8, 8))
    put(source / "b.bmp", pixels(8, 8))
    assert run(source / "a.bmp", output, *DENOISE) == 0
    assert files_below(output) == ["a.bmp"]


def test_jpeg_quality_is_read_from_each_file(source: Path, output: Path, capsys: Captured) -> None:
    put_jpeg(source / "a.jpg", pixels(16, 24, 3), 12)
    put_jpeg(source / "b.jpeg", pixels(8, 8), 60)

    assert run(source, output, *JPEG) == 0

    assert files_below(output) == ["a.png", "b.png"]
    decoded = read_image(source / "a.jpg").pixels
    expected = vheatir.restore(decoded, task="jpeg", quality=12, device="cpu")
    assert np.array_equal(read_image(output / "a.png").pixels, expected)
    out = capsys.readouterr().out
    assert "a.jpg -> a.png  24x16  quality 12 (read from the file)  " in out
    assert "b.jpeg -> b.png  8x8  quality 60 (read from the file)  " in out


def test_a_given_quality_counts_for_every_file(source: Path, output: Path, capsys: Captured) -> None:
    put_jpeg(source / "a.jpg", pixels(8, 8), 12)
    put(source / "b.png", pixels(8, 8))
    assert run(source, output, *JPEG, "--quality", "40") == 0
    expected = vheatir.restore(read_image(source / "a.jpg").pixels, task="jpeg", quality=40, device="cpu")
    assert np.array_equal(read_image(output / "a.png").pixels, expected)
    assert "b.png  8x8  quality 40  " in capsys.readouterr().out


def test_names_that_would_collide_are_kept_apart(source: Path, output: Path) -> None:
    for name in ("a.png", "b.png"):
        put(source / name, pixels(8, 8))
    for name in ("a.jpg", "c.jpg", "c.JPEG", "d.jpg"):
        put_jpeg(source / name, pixels(8, 8), 50)
    assert run(source, output, *DENOISE) == 0
    assert files_below(output) == ["a.jpg.png", "a.png", "b.png", "c.JPEG.png", "c.jpg.png", "d.png"]


def test_a_model_of_ones_own(source: Path, output: Path, tmp_path: Path) -> None:
    own = save_tiny_weights(tmp_path / "own.safetensors", "denoise-gray", offset=0.3)
    image = pixels(8, 8)
    put(source / "a.png", image)
    assert run(source, output, *DENOISE, "--model", str(own)) == 0
    assert read_image(output / "a.png").pixels.mean() > image.mean() + 65


def test_an_earlier_result_is_replaced(source: Path, output: Path) -> None:
    put(source / "a.png", pixels(8, 8))
    put(output / "a.png", pixels(4, 4))
    assert run(source, output, *DENOISE) == 0
    assert read_image(output / "a.png").pixels.shape == (8, 8)


def test_quiet_prints_nothing(source: Path, output: Path, capsys: Captured) -> None:
    put(source / "a.png", pixels(8, 8))
    assert run(source, output, *DENOISE, "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_progress_is_shown_on_stderr(source: Path, output: Path, capsys: Captured) -> None:
    put(source / "a.png", pixels(8, 8))
    assert run(source, output, *DENOISE) == 0
    assert "1/1" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ what goes wrong


def test_bad_files_are_reported_and_the_others_done(source: Path, output: Path, capsys: Captured) -> None:
    put(source / "a.png", pixels(8, 8))
    (source / "b.png").write_bytes(b"no image")
    (source / "c.png").mkdir()
    put(source / "d.png", pixels(8, 8))
    (source / "e.png").symlink_to(source / "nowhere.png")

    assert run(source, output, *DENOISE) == 1

    assert files_below(output) == ["a.png", "d.png"]
    captured = capsys.readouterr()
    failures = [line for line in captured.err.splitlines() if line.startswith("failed: ")]
    assert [line.split(" cannot ")[0] for line in failures] == [
        f"failed: {source / 'b.png'}",
        f"failed: {source / 'e.png'}",
    ]
    assert f"2 restored to {output}, 2 failed, " in captured.out


def test_files_without_a_quality_of_their_own_ask_for_one(source: Path, output: Path, capsys: Captured) -> None:
    put_jpeg(source / "a.jpg", pixels(8, 8), 50)
    put(source / "b.png", pixels(8, 8))
    assert run(source, output, *JPEG) == 1
    assert files_below(output) == ["a.png"]
    assert f"{source / 'b.png'} shows no trace of JPEG compression: give --quality" in capsys.readouterr().err


def test_an_unreadable_image_given_alone_is_bad_usage(source: Path, output: Path, capsys: Captured) -> None:
    (source / "b.png").write_bytes(b"no image")
    assert run(source / "b.png", output, *DENOISE) == 2
    assert f"failed: {source / 'b.png'} cannot be read as an image" in capsys.readouterr().err
    assert files_below(output) == []


def test_a_failing_write_leaves_no_file(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    put(source / "a.png", pixels(8, 8))
    put(source / "b.png", pixels(8, 8))
    put(output / "a.png", pixels(4, 4))
    write_bytes = Path.write_bytes

    def full_disk(path: Path, data: bytes) -> int:
        write_bytes(path, data[:20])
        raise OSError(28, "No space left on device")  # which names no file, as those of write(2)

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    assert run(source / "a.png", output, *DENOISE) == 1
    assert run(source, output, *DENOISE) == 1
    assert files_below(output) == ["a.png"]
    assert read_image(output / "a.png").pixels.shape == (4, 4)
    assert f"failed: {output / 'a.png'}: No space left on device." in capsys.readouterr().err


def test_an_unexpected_error_stops_one_file_only(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    put(source / "a.png", pixels(8, 8))
    put(source / "b.png", pixels(5, 5))

    restore = TileRunner.restore

    def fragile(runner: TileRunner, canvas: Canvas) -> None:
        if canvas.height == 8:
            raise MemoryError
        restore(runner, canvas)

    monkeypatch.setattr(TileRunner, "restore", fragile)
    assert run(source, output, *DENOISE) == 1
    assert files_below(output) == ["b.png"]
    assert f"failed: {source / 'a.png'} needs more memory than there is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--task", "denoise"), "--task denoise needs --sigma"),
        (("--task", "denoise", "--sigma", "5", "--quality", "5"), "--quality belongs to --task jpeg"),
        (("--task", "jpeg", "--sigma", "5"), "--sigma belongs to --task denoise"),
        (("--task", "denoise", "--sigma", "56"), "sigma is 0 to 55 for model denoise-gray"),
        (("--task", "denoise", "--sigma", "-1"), "sigma is 0 to 55 for model denoise-gray"),
        (("--task", "denoise", "--sigma", "nan"), "sigma is 0 to 55 for model denoise-gray"),
        (("--task", "jpeg", "--quality", "0"), "quality is 1 to 100, not 0"),
        (("--task", "jpeg", "--quality", "101"), "quality is 1 to 100, not 101"),
        ((*JPEG, "--model", "denoise-gray"), "Model denoise-gray is for task denoise, not jpeg"),
        ((*DENOISE, "--model", "no/such.safetensors"), "no/such.safetensors is neither a weights file"),
        ((*DENOISE, "--precision", "fp16"), "fp16 is not supported on a CPU"),
        (("--task", "denoise", "--sigma", "5", "--device", "warp"), "Device warp cannot be used"),
    ],
)
def test_bad_usage_is_said_before_anything_is_done(
    source: Path, output: Path, capsys: Captured, options: tuple[str, ...], message: str
) -> None:
    put(source / "a.png", pixels(8, 8))
    assert run(source, output, *options) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert captured.out == ""
    assert not output.exists()


@pytest.mark.parametrize("options", [("--task", "derain"), (), ("--task", "denoise", "--sigma", "many")])
def test_malformed_arguments_are_bad_usage(source: Path, output: Path, options: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(source, output, *options)
    assert stopped.value.code == 2


def test_inputs_that_are_not_there(source: Path, output: Path, capsys: Captured) -> None:
    assert run(source / "missing", output, *DENOISE) == 2
    assert "missing does not exist" in capsys.readouterr().err
    assert run(source, output, *DENOISE) == 2
    assert "holds no images" in capsys.readouterr().err
    (source / "a.gif").write_bytes(b"GIF89a")
    assert run(source / "a.gif", output, *DENOISE) == 2
    assert "not an image of a supported kind" in capsys.readouterr().err
    assert not output.exists()


def test_places_of_other_file_systems_need_an_engine_that_reads_them(output: Path, capsys: Captured) -> None:
    assert main(["restore", *DENOISE, "s3://bucket/in", str(output)]) == 2
    assert "Places with :// are read and written by --engine ray" in capsys.readouterr().err


def test_outputs_that_would_do_harm(source: Path, output: Path, capsys: Captured) -> None:
    image = put(source / "a.png", pixels(8, 8))
    photo = put_jpeg(source / "sub" / "b.jpg", pixels(8, 8), 50)
    before = files_below(source)
    output.symlink_to(source)
    other = source.parent / "file.txt"
    other.write_text("")
    os.mkfifo(source.parent / "pipe.png")
    (source.parent / "circle.png").symlink_to(source.parent / "circle.png")

    for given, wanted, message in (
        (source, source, "lies within the input"),
        (source, source / "results", "lies within the input"),
        (source, output, "lies within the input"),
        (image, source, "is the input's own folder"),
        (photo, photo.parent, "is the input's own folder"),
        (source, other, "is a file; give a folder"),
        (source, source.parent / "out.png", "names an image; give a folder"),
        (image, source.parent / "out.GIF", "or get another by --format: png, jpeg, webp, tiff, bmp."),
        (source.parent / "pipe.png", output, "pipe.png is no regular file; give an image or a folder"),
        (source.parent / "circle.png", output, "circle.png is a link that leads nowhere; give an image or a folder"),
        (source.parent / "none.png", output, "none.png does not exist; give an image or a folder"),
    ):
        assert run(given, wanted, *DENOISE) == 2
        assert message in capsys.readouterr().err
    assert files_below(source) == before


def test_results_do_not_replace_inputs_of_another_folder(tmp_path: Path, capsys: Captured) -> None:
    """Mirrored into its parent, a/b/b/x.png would land on the input a/b/x.png."""
    put(tmp_path / "a" / "b" / "x.png", pixels(8, 8))
    put(tmp_path / "a" / "b" / "b" / "x.png", pixels(8, 8))
    assert run(tmp_path / "a" / "b", tmp_path / "a", *DENOISE) == 2
    assert "could replace inputs" in capsys.readouterr().err
    assert files_below(tmp_path / "a") == ["b/b/x.png", "b/x.png"]


# ---------------------------------------------------------------------------------------------- as a real process


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from vheatir.cli.main import main\n"
        "try:\n"
        "    main(['restore', sys.argv[1]])\n"
        "except SystemExit as stopped:\n"
        "    assert stopped.code == 0\n"
        "assert not {'torch', 'cv2', 'numpy', 'tqdm', 'safetensors'} & set(sys.modules)\n"
    )
    for option, expected in (("--help", "AVIF becomes PNG, and so does JPEG"), ("--version", vheatir.__version__)):
        done = subprocess.run([sys.executable, "-c", code, option], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert expected in " ".join(done.stdout.split())


def test_ctrl_c_keeps_whole_files_and_leaves_no_other(
    repository: Path, source: Path, output: Path, tmp_path: Path
) -> None:
    """The second write hangs half-way until the process is interrupted."""
    put(source / "a.png", pixels(8, 8))
    put(source / "b.png", pixels(8, 8))
    weights = save_tiny_weights(tmp_path / "own.safetensors", "denoise-gray")
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from vheatir.cli.main import main\n"
        "write_bytes, count = Path.write_bytes, []\n"
        "def slow(path, data):\n"
        "    count.append(path)\n"
        "    write_bytes(path, data[: len(data) // len(count)])\n"
        "    time.sleep(60 if len(count) == 2 else 0)\n"
        "Path.write_bytes = slow\n"
        "sys.exit(main(['restore', *sys.argv[1:]]))\n"
    )
    command = [sys.executable, "-c", script, *DENOISE, "--model", str(weights), str(source), str(output)]
    process = subprocess.Popen(
        command,
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(repository)},
        # a suite that runs in the background ignores Ctrl-C, and so would the processes that it starts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while len(files_below(output)) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(files_below(output)) == 2  # a.png, and the half-written temporary file
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 130, err
    assert files_below(output) == ["a.png"]
    assert read_image(output / "a.png").pixels.shape == (8, 8)
    assert "a.png  8x8  sigma 25" in out
    assert "1 restored" in out
    assert "interrupted" in err
    assert "Traceback" not in err


def test_the_script_at_the_root_is_the_command(repository: Path, source: Path, output: Path, tmp_path: Path) -> None:
    put(source / "a.png", pixels(8, 8))
    weights = save_tiny_weights(tmp_path / "own.safetensors", "denoise-gray")
    command = [sys.executable, "inference.py", *DENOISE, "--model", str(weights), str(source), str(output)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert files_below(output) == ["a.png"]
    missing = [*command[:-2], str(source / "missing"), str(output)]
    done = subprocess.run(missing, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert (
        done.stderr.strip()
        == f"error: The input {source / 'missing'} does not exist; give an image or a folder of images."
    )
