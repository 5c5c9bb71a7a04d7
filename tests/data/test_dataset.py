from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data
from torch.utils.data import DataLoader
from training_options import needs_basicsr, write_image

from vheatir.data.dataset import DegradedImageDataset
from vheatir.data.degradations import benchmark_noise, encode_jpeg
from vheatir.data.sampler import EndlessSampler, ShuffledSampler
from vheatir.training import basicsr

NOISE = {"type": "noise", "sigma": [20, 30]}


def dataset(root: Path, phase: str = "train", **changes: Any) -> DegradedImageDataset:
    options = {
        "name": "set",
        "phase": phase,
        "dataroot_gt": str(root),
        "in_chans": 1,
        "degradation": NOISE if phase == "train" else {"type": "noise", "sigma": 25},
        "gt_size": 16,
        "use_hflip": True,
        "use_rot": True,
        "seed": 0,
    }
    return DegradedImageDataset(options | changes)


def plain(root: Path, **changes: Any) -> DegradedImageDataset:
    """Neither flipped nor rotated."""
    return dataset(root, use_hflip=False, use_rot=False, **changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos of different sizes, gray and colour."""
    root = tmp_path / "photos"
    root.mkdir()
    write_image(root / "astronaut.png", data.astronaut()[:200, 100:300])
    write_image(root / "camera.png", data.camera()[100:250, 100:220])
    write_image(root / "chelsea.jpg", data.chelsea()[50:200, 100:330])
    return root


def to_bytes(gt: torch.Tensor) -> NDArray[np.uint8]:
    """(C, h, w) in [0, 1] -> (h, w) or (h, w, C) of 8 bits."""
    image = (gt * 255).round().to(torch.uint8).numpy()
    return image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)


# Where draws come from


def test_items_do_not_depend_on_the_number_of_workers(folder: Path) -> None:
    """Items 40 to 63 of the sequence, made in this process in any order, and in one and two others."""
    training = dataset(folder, cache=True)
    expected = {number: training[number] for number in reversed(range(40, 64))}
    for workers in (0, 1, 2):
        loader = DataLoader(training, batch_size=4, num_workers=workers, sampler=EndlessSampler(start=40))
        for step, batch in enumerate(islice(loader, 6)):
            for place in range(4):
                item = expected[40 + 4 * step + place]
                assert batch["gt_path"][place] == item["gt_path"]
                for key in ("lq", "gt", "level"):
                    assert torch.equal(batch[key][place], item[key])


def test_no_two_items_share_their_draws(folder: Path) -> None:
    """Noise of different items is uncorrelated, also that of different workers."""
    loader = DataLoader(dataset(folder), batch_size=8, num_workers=2, sampler=EndlessSampler())
    noise = torch.cat([(batch["lq"] - batch["gt"]).flatten(1) for batch in islice(loader, 4)])
    correlation = torch.corrcoef(noise) - torch.eye(32)
    assert correlation.abs().max() < 0.3  # standard deviation 1/16


def test_the_seed_changes_every_draw(folder: Path) -> None:
    one, other = dataset(folder), dataset(folder, seed=1)
    assert all(not torch.equal(one[number]["lq"], other[number]["lq"]) for number in range(8))


def test_sampler_shares_out_and_continues() -> None:
    shares = [list(islice(EndlessSampler(rank=rank, world_size=3), 5)) for rank in range(3)]
    assert sorted(number for share in shares for number in share) == list(range(15))
    assert list(islice(EndlessSampler(start=15, rank=1, world_size=3), 2)) == [16, 19]
    assert shares[1] == [1, 4, 7, 10, 13]


# Which crop


def test_all_flips_and_rotations_occur_evenly(tmp_path: Path) -> None:
    image = data.camera()[100:116, 200:216]
    root = tmp_path / "one"
    root.mkdir()
    write_image(root / "square.png", image)
    halves = (image, image[:, ::-1])
    symmetries = {(turns, flip): np.rot90(halves[flip], turns) for turns in range(4) for flip in (0, 1)}

    def count(flip: bool, rotate: bool) -> Counter[tuple[int, int]]:
        training = dataset(root, cache=True, use_hflip=flip, use_rot=rotate)
        crops = [to_bytes(training[number]["gt"]) for number in range(800)]
        return Counter(next(key for key, value in symmetries.items() if np.array_equal(value, crop)) for crop in crops)

    both = count(True, True)
    assert len(both) == 8
    assert 65 < min(both.values()) <= max(both.values()) < 135  # 100 each, standard deviation 9.4
    assert set(count(False, False)) == {(0, 0)}
    assert set(count(True, False)) == {(0, 0), (0, 1)}
    assert set(count(False, True)) == {(turns, 0) for turns in range(4)}


def test_images_are_chosen_in_proportion_to_their_area(tmp_path: Path) -> None:
    root = tmp_path / "areas"
    root.mkdir()
    write_image(root / "small.png", np.zeros((20, 30), dtype=np.uint8))
    write_image(root / "large.png", np.zeros((60, 30), dtype=np.uint8))
    training = dataset(root, cache=True)
    names = Counter(training[number]["gt_path"] for number in range(800))
    assert names.keys() == {"areas/small.png", "areas/large.png"}
    assert 540 < names["areas/large.png"] < 660  # 600, standard deviation 12


def test_crops_reach_every_edge(tmp_path: Path) -> None:
    """The crop's first pixel tells its position: rows count in steps of 10, columns in ones."""
    root = tmp_path / "positions"
    root.mkdir()
    write_image(root / "ramp.png", (10 * np.arange(19)[:, None] + np.arange(20)[None, :]).astype(np.uint8))
    training = plain(root, cache=True)
    corners = Counter(divmod(int(to_bytes(training[number]["gt"])[0, 0]), 10) for number in range(600))
    assert set(corners) == {(top, left) for top in range(4) for left in range(5)}
    assert min(corners.values()) > 10  # 30 each


def test_small_images_are_padded_by_reflection(tmp_path: Path) -> None:
    """The edge pixel is repeated, then the way back: rows 0 to 9, 9, 8, ..., columns 0 to 12, 12, 11, 10."""
    root = tmp_path / "small"
    root.mkdir()
    image = data.camera()[100:110, 100:113]
    write_image(root / "a.png", image)
    rows, columns = [*range(10), 9, 8, 7, 6, 5, 4], [*range(13), 12, 11, 10]
    gt = to_bytes(plain(root)[0]["gt"])
    np.testing.assert_array_equal(gt, image[np.ix_(rows, columns)])


def test_an_image_of_one_pixel(tmp_path: Path) -> None:
    root = tmp_path / "pixel"
    root.mkdir()
    write_image(root / "a.png", np.array([[77]], dtype=np.uint8))
    assert (to_bytes(dataset(root)[0]["gt"]) == 77).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "degradation",
    [
        NOISE,
        {"type": "noise", "sigmas": [15, 25, 50]},
        {"type": "jpeg", "quality": [10, 95]},
        {
            "type": "jpeg",
            "quality": [10, 95],
            "double": 0.5,
            "grid_phase": True,
            "subsampling": ["420", "444"],
            "studio_swing": 0.5,
        },
    ],
)
def test_items_have_one_form(folder: Path, channels: int, degradation: dict[str, Any]) -> None:
    training = dataset(folder, in_chans=channels, degradation=degradation, cache=True, gt_size=24)
    assert len(training) == 3
    for number in range(20):
        item = training[number]
        assert item["lq"].shape == item["gt"].shape == (channels, 24, 24)
        assert item["lq"].dtype == item["gt"].dtype == item["level"].dtype == torch.float32
        assert item["level"].shape == ()
        assert 0 <= item["level"] <= 1
        assert 0 <= item["gt"].min() <= item["gt"].max() <= 1
        assert item["lq"].is_contiguous()


def test_the_level_is_that_of_the_noise(folder: Path) -> None:
    training = dataset(folder, gt_size=96, degradation={"type": "noise", "sigma": [5, 50]})
    for number in range(10):
        item = training[number]
        assert (item["lq"] - item["gt"]).std() == pytest.approx(float(item["level"]), rel=0.05)


def test_color_is_rgb(tmp_path: Path) -> None:
    root = tmp_path / "red"
    root.mkdir()
    write_image(root / "red.png", np.full((20, 20, 3), (255, 0, 51), dtype=np.uint8))
    gt = dataset(root, in_chans=3)[0]["gt"]
    assert gt.amax(dim=(1, 2)).tolist() == pytest.approx([1.0, 0.0, 0.2])


def test_the_cache_changes_nothing(folder: Path) -> None:
    with_cache, without = dataset(folder, in_chans=3, cache=True), dataset(folder, in_chans=3)
    assert all(torch.equal(with_cache[number]["lq"], without[number]["lq"]) for number in range(10))


# Validation


@pytest.mark.parametrize("channels", [1, 3])
def test_validation_noise_is_the_benchmarks(folder: Path, channels: int) -> None:
    validation = dataset(folder, "val", in_chans=channels)
    for index, name in enumerate(("astronaut.png", "camera.png", "chelsea.jpg")):
        item = validation[index]
        flag = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
        image = np.asarray(cv2.imread(str(folder / name), flag))
        clean = image if channels == 1 else image[..., ::-1]
        noisy = benchmark_noise(clean, 25)
        np.testing.assert_array_equal(item["lq"].numpy(), noisy[None] if channels == 1 else noisy.transpose(2, 0, 1))
        np.testing.assert_array_equal(to_bytes(item["gt"]), clean)
        assert float(item["level"]) == pytest.approx(25 / 255)
        assert item["gt_path"] == item["lq_path"] == f"photos/{name}"
        assert torch.equal(item["lq"], validation[index]["lq"])  # the same every time


def test_gray_jpeg_validation_takes_matlabs_luma(folder: Path) -> None:
    validation = dataset(folder, "val", degradation={"type": "jpeg", "quality": 20}, cache=True)
    rgb = data.astronaut()[:200, 100:300].astype(np.float64)
    luma = np.round(16 + (65.481 * rgb[..., 0] + 128.553 * rgb[..., 1] + 24.966 * rgb[..., 2]) / 255).astype(np.uint8)
    item = validation[0]
    np.testing.assert_array_equal(to_bytes(item["gt"]), luma)
    np.testing.assert_array_equal(to_bytes(item["lq"]), encode_jpeg(luma, 20))
    assert float(item["level"]) == pytest.approx(0.8)
    camera = data.camera()[100:250, 100:220]  # a gray file is taken as it is
    np.testing.assert_array_equal(to_bytes(validation[1]["gt"]), camera)
    np.testing.assert_array_equal(to_bytes(validation[1]["lq"]), encode_jpeg(camera, 20))


def test_color_jpeg_validation(folder: Path) -> None:
    item = dataset(folder, "val", in_chans=3, degradation={"type": "jpeg", "quality": 20})[0]
    np.testing.assert_array_equal(to_bytes(item["gt"]), data.astronaut()[:200, 100:300])
    np.testing.assert_array_equal(to_bytes(item["lq"]), encode_jpeg(data.astronaut()[:200, 100:300], 20))


# Which images


def test_include_and_exclude_lists(folder: Path, tmp_path: Path) -> None:
    listed, unlisted = tmp_path / "in.txt", tmp_path / "out.txt"
    listed.write_text("photos/camera.png\nphotos/chelsea.jpg\nphotos/absent.png\n")
    unlisted.write_text("# seen in training\nphotos/camera.png\n")

    def names(**lists: str) -> list[str]:
        images = dataset(folder, "val", **lists)
        return [images[index]["gt_path"] for index in range(len(images))]

    assert names(include_list=str(listed)) == ["photos/camera.png", "photos/chelsea.jpg"]
    assert names(exclude_list=str(unlisted)) == ["photos/astronaut.png", "photos/chelsea.jpg"]
    assert names(include_list=str(listed), exclude_list=str(unlisted)) == ["photos/chelsea.jpg"]
    with pytest.raises(FileNotFoundError, match="The lists of dataset set leave no image"):
        dataset(folder, include_list=str(unlisted), exclude_list=str(unlisted))


def test_several_folders(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    write_image(tmp_path / "more" / "coffee.png", data.coffee()[:50, :50])
    images = dataset(folder, "val", dataroot_gt=None, dataroots_gt=[str(folder), str(tmp_path / "more")])
    assert [images[index]["gt_path"] for index in (0, 3)] == ["photos/astronaut.png", "more/coffee.png"]


def test_exactly_one_kind_of_root(folder: Path) -> None:
    for changes in ({"dataroot_gt": None}, {"dataroots_gt": [str(folder)]}):
        with pytest.raises(ValueError, match=r"either dataroot_gt .one folder. or dataroots_gt"):
            dataset(folder, **changes)


@needs_basicsr
def test_an_lmdb_written_by_basicsr(folder: Path, tmp_path: Path) -> None:
    """The same items as from the files, in several processes, for training and validation at once."""
    pytest.importorskip("lmdb")
    make_lmdb_from_imgs = basicsr.import_module("basicsr.utils.lmdb_util").make_lmdb_from_imgs
    files = sorted(path.name for path in folder.iterdir())
    root = tmp_path / "photos.lmdb"
    make_lmdb_from_imgs(str(folder), str(root), files, [Path(name).stem for name in files])
    from_files, from_lmdb = dataset(folder, in_chans=3), dataset(root, in_chans=3)
    loader = DataLoader(from_lmdb, batch_size=4, num_workers=2, sampler=EndlessSampler())
    for step, batch in enumerate(islice(loader, 3)):
        for place in range(4):
            assert torch.equal(batch["lq"][place], from_files[4 * step + place]["lq"])
    validation = dataset(root, "val", include_list=str(_list(tmp_path, "camera.png")))
    assert len(validation) == 1
    np.testing.assert_array_equal(to_bytes(validation[0]["gt"]), data.camera()[100:250, 100:220])


def _list(folder: Path, *names: str) -> Path:
    path = folder / "names.txt"
    path.write_text("\n".join(names))
    return path


# Networks of two levels

PARTS = [
    {"type": "noise", "share": 1, "sigma": [10, 30]},
    {"type": "camera", "share": 1},
    {"type": "noise_jpeg", "share": 1, "sigma": [10, 10], "quality": [30, 90], "double": 0.5, "grid_phase": True},
]


def test_items_of_a_mixture(folder: Path) -> None:
    mixture = {"type": "mixture", "gray": 0.5, "withheld": 0.5, "parts": PARTS}
    items = dataset(folder, in_chans=3, degradation=mixture)
    for number in range(12):
        item, again = items[number], items[number]
        assert item["lq"].shape == item["gt"].shape == (3, 16, 16)
        assert item["level"].shape == (2,)
        assert item["truth"].shape == (2, 2, 2)
        told = item["level"] >= 0
        torch.testing.assert_close(item["truth"].mean(dim=(1, 2))[told], item["level"][told])
        assert {tensor.dtype for tensor in item.values() if isinstance(tensor, torch.Tensor)} == {torch.float32}
        assert all(torch.equal(item[key], again[key]) for key in ("lq", "gt", "level", "truth"))
    grays = sum(bool((items[number]["gt"][1:] == items[number]["gt"][:1]).all()) for number in range(60))
    assert 20 < grays < 60  # half of the crops, and those of a gray photo


@pytest.mark.parametrize(
    ("degradation", "tell", "level"),
    [
        ({"type": "noise", "sigma": 51}, "all", [0.2, 0.0]),
        ({"type": "jpeg", "quality": 40}, "all", [0.0, 0.6]),
        ({"type": "jpeg", "quality": 40}, "none", [-1.0, -1.0]),
    ],
)
def test_validation_tells_both_levels_or_none(
    folder: Path, degradation: dict[str, Any], tell: str, level: list[float]
) -> None:
    item = dataset(folder, "val", in_chans=3, degradation=degradation, tell=tell)[0]
    torch.testing.assert_close(item["level"], torch.tensor(level))
    untold = dataset(folder, "val", in_chans=3, degradation=degradation)[0]
    assert untold["level"].shape == ()
    assert torch.equal(item["lq"], untold["lq"])


def test_gray_validation_of_a_colour_network_is_the_benchmarks(folder: Path) -> None:
    options: dict[str, Any] = {"degradation": {"type": "jpeg", "quality": 20}}
    three = dataset(folder, "val", in_chans=3, gray=True, **options)[0]
    one = dataset(folder, "val", in_chans=1, **options)[0]
    for key in ("lq", "gt"):
        assert torch.equal(three[key], one[key].expand(3, -1, -1))


def test_the_middle_of_a_validation_image(folder: Path) -> None:
    whole, middle = dataset(folder, "val")[0], dataset(folder, "val", crop=64)[0]
    height, width = whole["gt"].shape[1:]
    top, left = (height - 64) // 2, (width - 64) // 2
    assert torch.equal(middle["gt"], whole["gt"][:, top : top + 64, left : left + 64])
    assert middle["lq"].shape == (1, 64, 64)


def test_validation_photographs_are_the_same_every_time(folder: Path) -> None:
    items = dataset(folder, "val", in_chans=3, degradation={"type": "camera"}, crop=48, tell="none")
    one, again, other = items[0], items[0], items[2]
    assert torch.equal(one["lq"], again["lq"])
    assert one["lq"].shape == one["gt"].shape == (3, 48, 48)
    assert not torch.equal(one["lq"], one["gt"])
    assert one["level"].tolist() == other["level"].tolist() == [-1.0, -1.0]


def test_shuffled_items_come_once_each_time_round_and_go_on_anywhere() -> None:
    """Two processes share the sequence; begun in its middle it is the same."""
    whole = list(islice(ShuffledSampler(EndlessSampler(), 5, seed=3), 15))
    rounds = [whole[start : start + 5] for start in (0, 5, 10)]
    assert all(sorted(order) == list(range(5)) for order in rounds)
    assert len({tuple(order) for order in rounds}) > 1
    later = EndlessSampler(start=6, rank=1, world_size=2)
    assert list(islice(ShuffledSampler(later, 5, seed=3), 4)) == whole[7:15:2]
    assert list(islice(ShuffledSampler(EndlessSampler(), 5, seed=4), 15)) != whole
