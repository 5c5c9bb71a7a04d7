"""Option files made of parts: how they are put together, and that every command and the experiment see the whole."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from training_options import training_options, write_options, write_photos

from vheatir.training.options import OptionError, read_options, whole_text

OPTIONS = Path(__file__).parents[2] / "options"


def write(folder: Path, **files: dict[str, Any]) -> Path:
    """Option files by name; returns the last."""
    for name, content in files.items():
        write_options(folder / f"{name}.yml", content)
    return folder / f"{name}.yml"


# Putting together


def test_later_parts_and_the_file_itself_win(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        one={"a": 1, "b": 1, "c": 1, "list": [1, 2]},
        two={"b": 2, "c": 2},
        file={"_base_": ["one.yml", "two.yml"], "c": 3, "list": [3]},
    )
    assert read_options(path) == {"a": 1, "b": 2, "c": 3, "list": [3]}


def test_sections_are_merged_however_deep(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        one={"train": {"optim_g": {"type": "Adam", "lr": 1.0}, "total_iter": 5}},
        file={"_base_": "one.yml", "train": {"optim_g": {"lr": 2.0}, "ema_decay": None}},
    )
    expected = {"train": {"optim_g": {"type": "Adam", "lr": 2.0}, "total_iter": 5, "ema_decay": None}}
    assert read_options(path) == expected


def test_a_section_of_another_type_takes_nothing_over(tmp_path: Path) -> None:
    noise = {"type": "noise", "sigma": [0, 55]}
    jpeg = {"type": "jpeg", "quality": [10, 95]}
    path = write(tmp_path, one={"degradation": noise}, file={"_base_": "one.yml", "degradation": jpeg})
    assert read_options(path) == {"degradation": jpeg}
    same = write(tmp_path, file={"_base_": "one.yml", "degradation": {"type": "noise", "low": 1}})
    assert read_options(same) == {"degradation": noise | {"low": 1}}


def test_sections_have_parts_and_parts_have_parts_relative_to_themselves(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    write(tmp_path / "parts", deepest={"seed": 1, "size": 1}, photos={"_base_": "deepest.yml", "size": 2})
    path = write(tmp_path, file={"datasets": {"train": {"_base_": "parts/photos.yml", "name": "n"}}})
    assert read_options(path) == {"datasets": {"train": {"seed": 1, "size": 2, "name": "n"}}}


def test_a_part_may_be_used_twice(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        common={"a": 1},
        one={"_base_": "common.yml", "b": 1},
        two={"_base_": "common.yml", "c": 1},
        file={"_base_": ["one.yml", "two.yml"]},
    )
    assert read_options(path) == {"a": 1, "b": 1, "c": 1}


def test_a_circle_of_parts_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, one={"_base_": "two.yml"}, two={"section": {"_base_": "one.yml"}})
    with pytest.raises(OptionError, match=r"two\.yml is a part of itself by _base_: two\.yml -> one\.yml -> two\.yml"):
        read_options(path)
    alone = write(tmp_path, alone={"_base_": "alone.yml"})
    with pytest.raises(OptionError, match=r"alone\.yml is a part of itself by _base_: alone\.yml -> alone\.yml\.$"):
        read_options(alone)


def test_wrong_parts_are_named_with_the_file_that_names_them(tmp_path: Path) -> None:
    path = write(tmp_path, file={"_base_": "absent.yml"})
    with pytest.raises(OptionError, match=r"file\.yml: the part absent\.yml does not exist; _base_ is relative to"):
        read_options(path)
    for wrong in (3, None, ["file.yml", 3], {"a": 1}):
        with pytest.raises(OptionError, match=r"file\.yml: _base_ is a path or a list of paths, not "):
            read_options(write(tmp_path, file={"_base_": wrong}))
    (tmp_path / "text.yml").write_text("just text")
    with pytest.raises(OptionError, match=r"text\.yml holds no options"):
        read_options(write(tmp_path, file={"_base_": "text.yml"}))


def test_a_file_without_parts_is_handed_on_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, file=training_options())
    assert whole_text(path) == path.read_text()


@pytest.mark.parametrize("name", ["fast_jpeg_color_stage2", "photo_release", "paper_jpeg_gray"])
def test_the_whole_file_says_the_same_without_parts(name: str) -> None:
    path = OPTIONS / "train" / f"{name}.yml"
    whole = whole_text(path)
    assert "_base_" not in whole
    assert yaml.safe_load(whole) == read_options(path)


def test_every_part_of_the_project_is_used() -> None:
    used = {
        (path.parent / name).resolve()
        for path in OPTIONS.rglob("*.yml")
        for name in named(yaml.safe_load(path.read_text()))
    }
    assert set((OPTIONS / "parts").resolve().glob("*.yml")) <= used


def named(section: dict[str, Any]) -> Iterator[str]:
    """The parts that a file and its sections name."""
    for key, value in section.items():
        if key == "_base_":
            yield from value if isinstance(value, list) else [value]
        elif isinstance(value, dict):
            yield from named(value)


# The commands


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of photos to train in, the current one."""
    write_photos(tmp_path / "photos", ("camera",), side=40)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, module: Any, *arguments: str) -> int:
    """Run a command line of this process, as ``python -m`` does."""
    monkeypatch.setattr(sys, "argv", ["program", *arguments])
    code: int = module.main()
    return code


def test_a_training_from_parts_keeps_the_whole_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained in two halves, with an option changed on the command line, exported, and scored, all from parts."""
    import vheatir.train
    from vheatir.cli.main import main

    options = training_options(name="never", train__total_iter=1)
    train, section = options.pop("train"), options["datasets"].pop("train")
    own = {"_base_": ["common.yml", "steps.yml"], "name": "whole", "datasets": {"train": {"_base_": "photos.yml"}}}
    path = write(folder, common=options, steps={"train": train}, photos=section, file=own)
    first = ["-opt", str(path), "--force_yml", "train:total_iter=4", "train:optim_g:lr=0.005"]
    assert call(monkeypatch, vheatir.train, *first) == 0
    second = ["--force_yml", "train:total_iter=8", "train:optim_g:lr=0.005", "-opt", str(path), "--auto_resume"]
    assert call(monkeypatch, vheatir.train, *second) == 0
    experiment = folder / "experiments" / "whole"
    assert sorted(file.stem for file in (experiment / "training_states").iterdir()) == ["4", "8"]
    logs = "".join(file.read_text() for file in experiment.glob("train_*.log"))
    assert "Resuming training from iteration 4." in logs
    assert "lr: 0.005" in logs

    saved = experiment / "file.yml"
    assert read_options(saved) == read_options(path)
    assert "_base_" not in saved.read_text()
    assert f"# program {' '.join(second)}\n" in saved.read_text()

    checkpoint = str(experiment / "models" / "net_g_8.pth")
    for number, file in enumerate((path, saved)):
        exported = folder / f"{number}.safetensors"
        assert main(["export", "-opt", str(file), checkpoint, str(exported)]) == 0
    assert (folder / "0.safetensors").stat().st_size == (folder / "1.safetensors").stat().st_size

    scoring = training_options(path__pretrain_network_g=checkpoint)
    test = {"_base_": "common_test.yml", "name": "scores", "datasets": {"test": scoring["datasets"]["val"]}}
    common = {key: scoring[key] for key in ("model_type", "num_gpu", "manual_seed", "network_g", "path")}
    common["val"] = {"save_img": False, "suffix": None, "metrics": scoring["val"]["metrics"]}
    assert main(["test", "-opt", str(write(folder, common_test=common, test=test))]) == 0
    assert (folder / "results" / "scores" / "scores.json").is_file()


def test_a_plain_file_is_kept_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import vheatir.train

    path = folder / "plain.yml"
    text = "# a comment of its own\n" + yaml.safe_dump(training_options(train__total_iter=1))
    path.write_text(text)
    assert call(monkeypatch, vheatir.train, "-opt", str(path)) == 0
    assert (folder / "experiments" / "tiny" / "plain.yml").read_text().endswith(text)


def test_a_missing_part_ends_the_command_in_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import vheatir.train

    path = write(folder, file={"_base_": "absent.yml"})
    assert call(monkeypatch, vheatir.train, "-opt", str(path)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}: the part absent.yml does not exist;")
