from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from training_options import needs_basicsr

from vheatir.cli.main import main
from vheatir.data.prepare.checks import Finding, check_images
from vheatir.data.prepare.lmdb_writer import lmdb_key, write_lmdb
from vheatir.data.prepare.overlap import MAX_DISTANCE, BenchmarkIndex
from vheatir.data.prepare.phash import hamming_distance, hash_orientations, perceptual_hash
from vheatir.data.prepare.pixels import to_eight_bits, to_luma
from vheatir.data.prepare.report import remarks
from vheatir.data.prepare.split import draw_validation, list_validation, name_images
from vheatir.data.sources import find_images, open_source, read_name_list
from vheatir.imageio.images import ImageError
from vheatir.imageio.read import read_image
from vheatir.training import basicsr

Image = NDArray[np.uint8]

# the photographs that scikit-image carries with it
PHOTOS: dict[str, Callable[[], Image]] = {
    name: getattr(skimage.data, name) for name in ("astronaut", "camera", "chelsea", "coffee", "rocket")
}


def jpeg(pixels: Image, quality: int) -> Image:
    """RGB or gray pixels, compressed and decoded."""
    bgr = pixels if pixels.ndim == 2 else pixels[..., ::-1]
    encoded = cv2.imencode(".jpg", np.ascontiguousarray(bgr), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = decode(encoded.tobytes())
    return decoded if decoded.ndim == 2 else np.ascontiguousarray(decoded[..., ::-1])


def decode(encoded: bytes) -> Image:
    """Gray, or in OpenCV's order, BGR."""
    return np.asarray(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED), dtype=np.uint8)


def resize(pixels: Image, scale: float) -> Image:
    return np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def add_noise(pixels: Image) -> Image:
    noise = np.random.default_rng(0).normal(0, 25, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def save(path: Path, pixels: NDArray[Any], *options: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])
    assert cv2.imwrite(str(path), bgr, options)
    return path


def check(paths: list[Path], *, min_size: int = 64, benchmarks: BenchmarkIndex | None = None) -> dict[str, Finding]:
    index = BenchmarkIndex([]) if benchmarks is None else benchmarks
    findings = check_images(name_images(paths), min_size=min_size, benchmarks=index)
    return {finding.path.name: finding for finding in findings}


# --------------------------------------------------------------------------------------------------------- hashing


COPIES: dict[str, Callable[[Image], Image]] = {
    "JPEG 10": lambda image: jpeg(image, 10),
    "mirrored, JPEG 30": lambda image: jpeg(image[:, ::-1], 30),
    "rotated, half size, JPEG 40": lambda image: jpeg(resize(np.rot90(image).copy(), 0.5), 40),
    "upside down": lambda image: image[::-1],
    "transposed, a quarter of the size": lambda image: resize(image, 0.25).T,
    "enlarged": lambda image: np.asarray(cv2.resize(image, None, fx=1.7, fy=1.7), dtype=np.uint8),
    "noisy": add_noise,
    "border of 1 percent trimmed": lambda image: image[len(image) // 100 : -len(image) // 100],
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES.keys())
@pytest.mark.parametrize("photo", PHOTOS.values(), ids=PHOTOS.keys())
def test_hashes_of_copies_are_within_the_threshold(photo: Callable[[], Image], copy: Callable[[Image], Image]) -> None:
    gray = to_luma(photo())
    copied = np.ascontiguousarray(copy(gray))
    assert hamming_distance(hash_orientations(gray), perceptual_hash(copied)).min() <= MAX_DISTANCE


def test_hashes_of_different_photographs_are_beyond_the_threshold() -> None:
    hashes = [hash_orientations(to_luma(photo())) for photo in PHOTOS.values()]
    for number, first in enumerate(hashes):
        for second in hashes[number + 1 :]:
            assert hamming_distance(first, second[0]).min() > MAX_DISTANCE


def test_the_eight_hashes_are_those_of_the_flipped_and_rotated_images() -> None:
    gray = to_luma(skimage.data.coffee())
    turned = [np.rot90(base, turns) for base in (gray, gray[:, ::-1]) for turns in range(4)]
    distances = hamming_distance(
        hash_orientations(gray)[:, None], np.stack([perceptual_hash(image.copy()) for image in turned])[None]
    )
    # each has its own counterpart, but for a coefficient at the median; rounding may move it across
    assert sorted(distances.argmin(axis=1)) == list(range(8))
    assert distances.min(axis=1).max() <= 2
    assert np.array_equal(hash_orientations(gray)[0], perceptual_hash(gray))


def test_hamming_distance_counts_bits() -> None:
    first = np.array([[0b1111, 0, 0, 0, 0, 0, 0, 0b10000001], [255] * 8], np.uint8)
    assert hamming_distance(first, np.zeros(8, np.uint8)).tolist() == [6, 64]


# -------------------------------------------------------------------------------------------------------- overlaps


@pytest.fixture(scope="module")
def benchmark_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("data") / "Set2"
    # one whole photograph, and, like the starfish of Set12, a gray crop of another
    camera = save(folder / "01.png", skimage.data.camera())
    return [camera, save(folder / "02.png", to_luma(skimage.data.coffee())[100:356, 150:406])]


@pytest.fixture(scope="module")
def benchmarks(benchmark_files: list[Path]) -> BenchmarkIndex:
    return BenchmarkIndex(benchmark_files)


def test_a_whole_benchmark_image_is_found_by_its_hash(benchmarks: BenchmarkIndex) -> None:
    overlap = benchmarks.find(jpeg(resize(skimage.data.camera()[:, ::-1].copy(), 0.7), 30))
    assert overlap is not None
    assert overlap.benchmark.name == "01.png"
    assert re.fullmatch(r"perceptual hash, distance \d", overlap.evidence)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        lambda image: jpeg(image, 50),
        lambda image: image[:, ::-1],
        lambda image: np.rot90(image),
        lambda image: resize(image, 0.6),
    ],
    ids=["as it is", "JPEG 50", "mirrored", "rotated", "reduced"],
)
def test_a_photograph_that_a_benchmark_was_cropped_from_is_found(
    benchmarks: BenchmarkIndex, change: Callable[[Image], Image]
) -> None:
    photograph = np.ascontiguousarray(change(to_luma(skimage.data.coffee())))
    own = perceptual_hash(to_luma(skimage.data.coffee())[100:356, 150:406])
    assert hamming_distance(hash_orientations(photograph), own).min() > MAX_DISTANCE  # the hash alone does not see it
    overlap = benchmarks.find(photograph)
    assert overlap is not None
    assert overlap.benchmark.name == "02.png"
    assert "matched features" in overlap.evidence


def test_other_images_are_not_taken_for_benchmarks(benchmarks: BenchmarkIndex) -> None:
    others = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.rocket(), skimage.data.brick()]
    assert [benchmarks.find(to_luma(image)) for image in others] == [None] * 4
    other_part = to_luma(skimage.data.coffee())[:, 420:]  # of the same photograph, but nothing that was cropped
    assert benchmarks.find(other_part) is None


@pytest.mark.parametrize("side", [1, 40, 300])
def test_featureless_images_overlap_with_nothing(benchmarks: BenchmarkIndex, side: int) -> None:
    assert benchmarks.find(np.full((side, side), 128, np.uint8)) is None


def test_no_benchmarks_no_overlaps() -> None:
    assert BenchmarkIndex([]).find(skimage.data.camera()) is None


def test_an_unreadable_benchmark_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"a\.png cannot be read"):
        BenchmarkIndex([tmp_path / "a.png"])


# ---------------------------------------------------------------------------------------------------------- checks


def test_each_problem_is_recognised(tmp_path: Path, benchmarks: BenchmarkIndex) -> None:
    astronaut = save(tmp_path / "mine/a_first.png", skimage.data.astronaut())
    cut = save(tmp_path / "mine/b_cut.jpg", skimage.data.coffee())
    cut.write_bytes(cut.read_bytes()[:20000])
    (tmp_path / "mine/c_text.png").write_text("no image")
    paths = [
        astronaut,
        cut,
        tmp_path / "mine/c_text.png",
        save(tmp_path / "mine/d_small.png", skimage.data.chelsea()[:63, :400]),
        save(tmp_path / "mine/e_again.jpg", np.rot90(resize(skimage.data.astronaut(), 0.8))),
        save(tmp_path / "mine/f_leak.png", skimage.data.coffee()),
        save(tmp_path / "mine/g_fine.png", skimage.data.chelsea()),
    ]
    found = check(paths, benchmarks=benchmarks)
    assert {name: finding.problem for name, finding in found.items()} == {
        "a_first.png": None,
        "b_cut.jpg": "unreadable",
        "c_text.png": "unreadable",
        "d_small.png": "too small",
        "e_again.jpg": "duplicate",
        "f_leak.png": "overlap",
        "g_fine.png": None,
    }
    assert found["d_small.png"].detail == "400x63 px, less than 64"
    assert found["e_again.jpg"].detail.startswith("looks like mine/a_first.png")
    assert "Set2/02.png" in found["f_leak.png"].detail
    assert found["g_fine.png"].shape == (300, 451, 3)


def test_what_is_left_out_does_not_count_as_seen(tmp_path: Path) -> None:
    small = save(tmp_path / "a/small.png", resize(skimage.data.camera(), 0.1))
    large = save(tmp_path / "a/z_large.png", skimage.data.camera())
    assert check([small, large])["z_large.png"].problem is None


def test_remarks_name_a_jpeg_past_and_gray_images_among_colour(tmp_path: Path) -> None:
    paths = [
        save(tmp_path / "a/1.png", jpeg(skimage.data.astronaut(), 60)),
        save(tmp_path / "a/2.png", np.repeat(skimage.data.camera()[..., None], 3, axis=2)),
        save(tmp_path / "a/3.png", skimage.data.coffee()),
    ]
    findings = list(check(paths).values())
    assert remarks(findings) == {
        "a/1.png": "its pixels show JPEG compression of quality 60",
        "a/2.png": "gray among colour images",
    }
    assert [finding.shape[2] for finding in findings] == [3, 1, 3]
    assert "a/2.png" not in remarks(findings[1:2])  # among gray ones it is no surprise


def test_sixteen_bits_become_eight() -> None:
    assert to_eight_bits(np.array([0, 128, 129, 257, 65535], np.uint16)).tolist() == [0, 0, 1, 1, 255]


# ----------------------------------------------------------------------------------------------------------- split


def test_a_draw_depends_on_its_seed_alone() -> None:
    names = [f"a/{number}.png" for number in range(50)]
    drawn = draw_validation(names, 10, seed=3)
    assert drawn == draw_validation(names, 10, seed=3) == sorted(drawn, key=names.index)
    assert len(set(drawn)) == 10
    assert drawn != draw_validation(names, 10, seed=4)
    assert draw_validation(names, 0, seed=3) == []


def test_a_draw_leaves_something_to_train_on() -> None:
    with pytest.raises(ValueError, match="2 of 2 usable images for validation leaves none"):
        draw_validation(["a/1.png", "a/2.png"], 2, seed=0)


def test_a_list_must_name_usable_images() -> None:
    names = ["a/1.png", "a/2.png", "a/3.png"]
    assert list_validation(names, {"a/3.png", "a/1.png"}, Path("v.txt")) == ["a/1.png", "a/3.png"]
    with pytest.raises(ValueError, match=r"v\.txt lists a/8\.png and 1 more that are not among the usable"):
        list_validation(names, {"a/9.png", "a/8.png", "a/1.png"}, Path("v.txt"))
    with pytest.raises(ValueError, match=r"v\.txt lists every usable image"):
        list_validation(names, set(names), Path("v.txt"))


def test_images_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"would both be listed as a/1\.png: rename"):
        name_images([Path("x/a/1.png"), Path("y/a/1.png"), Path("x/b/1.png")])


# ------------------------------------------------------------------------------------------------------------ LMDB


def test_keys_are_unique_and_hold_neither_dots_nor_spaces() -> None:
    used: set[str] = set()
    names = ["a/x.png", "a/x.jpg", "a/x (1).png", "a/x.1.png", "a/naïve.webp", "b/x.png", "a/x.bmp"]
    keys = [lmdb_key(name, used) for name in names]
    assert keys == ["a/x", "a/x-2", "a/x__1_", "a/x_1", "a/na_ve", "b/x", "a/x-3"]


@pytest.fixture
def findings(tmp_path: Path) -> list[Finding]:
    deep = skimage.data.chelsea().astype(np.uint16) * 257
    alpha = np.dstack([skimage.data.rocket()[:300], np.full((300, 640), 9, np.uint8)])
    paths = [
        save(tmp_path / "a/tiny.png", skimage.data.coffee()[:80, :90]),  # the first is small, the others are not
        save(tmp_path / "a/gray.png", skimage.data.camera()),
        save(tmp_path / "b/16 bit.png", deep),
        save(tmp_path / "b/ä.jpg", skimage.data.astronaut()),
        tmp_path / "b/alpha.png",
    ]
    assert cv2.imwrite(str(paths[-1]), cv2.cvtColor(alpha, cv2.COLOR_RGBA2BGRA))
    return list(check(paths).values())


def test_an_lmdb_holds_the_pixels_in_the_layout_of_basicsr(tmp_path: Path, findings: list[Finding]) -> None:
    lmdb = pytest.importorskip("lmdb")
    write_lmdb(tmp_path / "train.lmdb", findings)
    assert sorted(path.name for path in (tmp_path / "train.lmdb").iterdir()) == [
        "data.mdb",
        "lock.mdb",
        "meta_info.txt",
    ]
    assert (tmp_path / "train.lmdb/meta_info.txt").read_text().splitlines() == [
        "a/tiny.png (80,90,3) 1",
        "a/gray.png (512,512,1) 1",
        "b/16_bit.png (300,451,3) 1",
        "b/_.png (512,512,3) 1",
        "b/alpha.png (300,640,3) 1",
    ]
    with lmdb.open(str(tmp_path / "train.lmdb"), readonly=True) as environment, environment.begin() as transaction:
        stored = {bytes(key).decode(): bytes(value) for key, value in transaction.cursor()}
    assert set(stored) == {"a/tiny", "a/gray", "b/16_bit", "b/_", "b/alpha"}
    decoded = {key: decode(value) for key, value in stored.items()}
    assert np.array_equal(decoded["a/gray"], skimage.data.camera())
    assert np.array_equal(decoded["b/16_bit"][..., ::-1], skimage.data.chelsea())
    assert np.array_equal(decoded["b/alpha"][..., ::-1], skimage.data.rocket()[:300])
    assert np.array_equal(decoded["b/_"][..., ::-1], read_image(findings[3].path).pixels)


def test_our_reader_reads_the_lmdb(tmp_path: Path, findings: list[Finding]) -> None:
    pytest.importorskip("lmdb")
    write_lmdb(tmp_path / "train.lmdb", findings)
    source = open_source([tmp_path / "train.lmdb"])
    assert len(source.names) == 5
    assert np.array_equal(source.read(0, 3), skimage.data.coffee()[:80, :90])
    assert np.array_equal(source.read(1, 1), skimage.data.camera())


@needs_basicsr
def test_basicsr_reads_the_lmdb(tmp_path: Path, findings: list[Finding]) -> None:
    data_util, utils = (basicsr.import_module(name) for name in ("basicsr.data.data_util", "basicsr.utils"))
    folder = str(tmp_path / "train.lmdb")
    write_lmdb(Path(folder), findings)
    keys = data_util.paths_from_lmdb(folder)
    assert keys == ["a/tiny", "a/gray", "b/16_bit", "b/_", "b/alpha"]
    encoded = utils.FileClient("lmdb", db_paths=[folder], client_keys=["gt"]).get(keys[1], "gt")
    image = utils.imfrombytes(encoded, flag="grayscale", float32=False)
    assert np.array_equal(image, skimage.data.camera())


def test_an_lmdb_larger_than_its_first_map_is_written(tmp_path: Path) -> None:
    pytest.importorskip("lmdb")
    noise = np.random.default_rng(0).integers(0, 256, (1400, 1400, 3), dtype=np.uint8)  # 6 MB that do not compress
    paths = [save(tmp_path / f"a/{turns}.png", np.rot90(noise, turns)) for turns in range(4)]
    write_lmdb(tmp_path / "a.lmdb", [Finding(path, f"a/{path.name}", shape=(1400, 1400, 3)) for path in paths])
    source = open_source([tmp_path / "a.lmdb"])
    assert np.array_equal(source.read(3, 3), np.rot90(noise, 3))


def test_a_failure_leaves_no_lmdb_behind(tmp_path: Path, findings: list[Finding]) -> None:
    pytest.importorskip("lmdb")
    findings[3].path.unlink()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ImageError, match="cannot be opened"):
        write_lmdb(tmp_path / "train.lmdb", findings)
    assert sorted(tmp_path.iterdir()) == before


def test_an_lmdb_is_not_replaced(tmp_path: Path, findings: list[Finding]) -> None:
    pytest.importorskip("lmdb")
    (tmp_path / "train.lmdb").mkdir()
    with pytest.raises(FileExistsError, match=r"train\.lmdb exists already"):
        write_lmdb(tmp_path / "train.lmdb", findings)


# ----------------------------------------------------------------------------------------------------- the command


def prepare(*options: object) -> int:
    return main(["prepare", *map(str, options)])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name, photo in PHOTOS.items():
        save(folder / ("gray" if name == "camera" else "color") / f"{name}.png", photo())
    return folder


def test_the_command_does_it_all(
    photos: Path,
    benchmark_files: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("lmdb")
    before = {path: path.read_bytes() for path in find_images(photos)}
    out = tmp_path / "deep" / "out"
    options = ["--source", photos, "--exclude", benchmark_files[0].parent, "--out", out, "--validation", 1, "--lmdb"]
    assert prepare(*options) == 0
    captured = capsys.readouterr()
    assert "5 images: 2 to train, 1 to validate.\nLeft out: 2 overlap" in captured.out
    assert "Checking images: 100%" in captured.err
    train, validation = read_name_list(out / "train.txt"), read_name_list(out / "validation.txt")
    assert len(train) == 2
    assert len(validation) == 1
    assert train | validation == {"color/astronaut.png", "color/chelsea.png", "color/rocket.png"}
    assert [len(open_source([out / f"{split}.lmdb"]).names) for split in ("train", "validation")] == [2, 1]
    with (out / "report.csv").open(newline="", encoding="utf-8") as file:
        verdicts = {row["image"]: row["verdict"] for row in csv.DictReader(file)}
    assert {name for name, verdict in verdicts.items() if verdict == "overlap"} == {
        "color/coffee.png",
        "gray/camera.png",
    }
    assert {path: path.read_bytes() for path in find_images(photos)} == before
    assert sorted(path.name for path in out.iterdir()) == [
        "report.csv",
        "train.lmdb",
        "train.txt",
        "validation.lmdb",
        "validation.txt",
    ]


def test_a_list_chooses_the_validation_images(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "chosen.txt").write_text("# mine\ncolor/rocket.png\ngray/camera.png\n")
    options = [
        *("--source", photos / "color", "--source", photos / "gray"),
        *("--out", tmp_path / "out", "--validation", tmp_path / "chosen.txt"),
    ]
    assert prepare(*options) == 0
    assert read_name_list(tmp_path / "out/validation.txt") == {"color/rocket.png", "gray/camera.png"}
    assert read_name_list(tmp_path / "out/train.txt") == {f"color/{name}.png" for name in PHOTOS} - {
        "color/rocket.png",
        "color/camera.png",
    }


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"--source": "missing"}, "missing is not a folder: check --source"),
        ({"--source": "empty"}, "empty holds no image"),
        ({"--exclude": "missing"}, "missing is not a folder"),
        ({"--exclude": "empty"}, "empty holds no image"),
        ({"--validation": "many"}, "--validation is many: give a number of images, or a text file"),
        ({"--validation": "5"}, "5 of 5 usable images for validation leaves none to train on"),
        ({"--validation": "list.txt"}, "list.txt lists color/nobody.png and 0 more"),
        ({"--min-size": "0"}, "--min-size is 0"),
        ({"--min-size": "9999"}, "None of the 5 images can be used"),
    ],
    ids=lambda value: " ".join(*value.items()) if isinstance(value, dict) else "",
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("list.txt").write_text("color/nobody.png\n")
    options = {"--source": "photos", "--out": "out", "--validation": "1", **changes}
    assert prepare(*(part for option in options.items() for part in option)) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("error: ")
    assert sentence in message
    assert not Path("out/train.txt").exists()


def test_an_existing_lmdb_is_refused_before_the_work(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lmdb")
    (tmp_path / "out/validation.lmdb").mkdir(parents=True)
    assert prepare("--source", photos, "--out", tmp_path / "out", "--lmdb") == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["validation.lmdb"]


# -------------------------------------------------------------------------------------------------- the real images


def evenly_spaced(names: list[str], count: int) -> list[str]:
    return [names[(2 * index + 1) * len(names) // (2 * count)] for index in range(count)]


def test_the_validation_list_follows_its_rule(repository: Path, data_root: Path) -> None:
    folder = data_root / "train"
    photographs = sorted(
        path.name
        for path in (folder / "CID22").iterdir()
        if re.fullmatch(r"(\d{1,8}|pexels-photo-\d+)\.webp", path.name)
    )
    bsd = sorted(path.name for path in (folder / "BSD").iterdir())
    expected = [f"CID22/{name}" for name in evenly_spaced(photographs, 24)]
    expected += [f"BSD/{name}" for name in evenly_spaced(bsd, 16)]
    assert (repository / "datasets/splits/validation.txt").read_text().splitlines() == expected


def test_copies_of_benchmark_images_are_caught(data_root: Path) -> None:
    paths = find_images(data_root / "benchmarks/Set12") + find_images(data_root / "benchmarks/BSD68")
    for path in paths:
        gray = to_luma(read_image(path).pixels)
        orientations = hash_orientations(gray)
        copies = [jpeg(gray, 20), jpeg(gray[:, ::-1], 60), jpeg(np.rot90(resize(gray, 0.5)), 40), resize(gray.T, 0.7)]
        distances = [
            hamming_distance(orientations, perceptual_hash(np.ascontiguousarray(copy))).min() for copy in copies
        ]
        assert max(distances) <= MAX_DISTANCE, path


def test_clean_training_images_are_not_taken_for_benchmarks(data_root: Path) -> None:
    index = BenchmarkIndex(find_images(data_root / "benchmarks/Set12"))
    for path in find_images(data_root / "train")[::50]:
        assert index.find(to_luma(read_image(path).pixels)) is None, path
