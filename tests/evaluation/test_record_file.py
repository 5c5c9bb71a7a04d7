"""Files of measurements: one way to write, read and refuse them, whatever they hold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vheatir.evaluation.record_file import RecordFormat, format_name
from vheatir.evaluation.results import read_results
from vheatir.research.race.costs import COSTS_FILE
from vheatir.research.race.curve import CURVE_FILE
from vheatir.research.race.results import COMPARISON_FILE
from vheatir.speed.report import SPEED_FILE
from vheatir.speed.train_report import TRAIN_SPEED_FILE


class ThingError(ValueError):
    pass


@dataclass(frozen=True)
class Box:
    names: tuple[str, ...]
    weight: float


@dataclass(frozen=True)
class Things:
    things: Sequence[Box]
    total: float | None = None


THINGS = Things([Box(("ä", "b"), 1.5), Box((), 2)])
THING = RecordFormat(Things, "vheatir-thing", 3, "file of things", "count again", ThingError)
#: what reads each format, and the version that it reads
READERS: dict[str, tuple[Callable[[Path], Any], int]] = {
    "vheatir-benchmark": (read_results, 1),
    "vheatir-speed": (SPEED_FILE.read, 1),
    "vheatir-train-speed": (TRAIN_SPEED_FILE.read, 2),
    "vheatir-curve": (CURVE_FILE.read, 1),
    "vheatir-compare": (COMPARISON_FILE.read, 1),
    "vheatir-compare-costs": (COSTS_FILE.read, 1),
}


def test_a_file_comes_back_as_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "things.json"
    THING.write(path, THINGS)
    assert THING.read(path) == THINGS
    assert list(json.loads(path.read_text("utf-8"))) == ["format", "format_version", "things", "total"]
    assert format_name(path) == "vheatir-thing"
    assert [file.name for file in tmp_path.iterdir()] == ["things.json"]


def test_infinity_has_a_word_and_what_is_no_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "things.json"
    THING.write(path, Things([], math.inf))
    assert json.loads(path.read_text("utf-8"))["total"] == "inf"
    with pytest.raises(ValueError, match="not JSON compliant"):
        THING.write(path, Things([], math.nan))
    assert json.loads(path.read_text("utf-8"))["total"] == "inf"


def test_a_value_of_another_type_is_named(tmp_path: Path) -> None:
    path = tmp_path / "things.json"
    THING.write(path, THINGS)
    path.write_text(path.read_text("utf-8").replace("1.5", '"heavy"'), "utf-8")
    with pytest.raises(ThingError, match=r"things\.json is damaged \(ValidationError: .*weight"):
        THING.read(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read as a file of things ("),
        ("{", "cannot be read as a file of things ("),
        ("[]", "is not a file of things (vheatir-thing); give another file, or leave it out."),
        ('{"format": "other", "format_version": 3}', "is not a file of things (vheatir-thing); "),
        ('{"format": "vheatir-thing"}', "has another version than 3; count again."),
        ('{"format": "vheatir-thing", "format_version": 2}', "has another version than 3; count again."),
        ('{"format": "vheatir-thing", "format_version": 3}', "is damaged (ValidationError: Object missing "),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "things.json"
    if text is not None:
        path.write_text(text, "utf-8")
    with pytest.raises(ThingError) as caught:
        THING.read(path)
    assert str(caught.value).startswith(f"{path} {message}")
    assert (text == "[]" or format_name(path) is None) == (text in (None, "{", "[]"))


@pytest.mark.parametrize("name", READERS)
def test_every_kind_of_file_is_refused_in_the_same_words(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file.json"
    read, version = READERS[name]
    refused = [
        ({"format": name, "format_version": version}, r"is damaged \((KeyError|ValidationError): "),
        ({"format": name, "format_version": version + 1}, f"has another version than {version}; "),
        *(
            ({"format": other, "format_version": version}, rf"is not a .*\({name}\)")
            for other in READERS.keys() - {name}
        ),
    ]
    for content, message in refused:
        path.write_text(json.dumps(content), "utf-8")
        with pytest.raises(ValueError, match=rf"file\.json {message}"):
            read(path)
