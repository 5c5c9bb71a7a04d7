"""Files of measurements: one way to write, read and refuse them, whatever they hold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vheatir.evaluation.record_file import RecordFormat, format_name
from vheatir.evaluation.results import read_results
from vheatir.research.race.costs import read_costs
from vheatir.research.race.curve import read_curve
from vheatir.research.race.results import read_comparison
from vheatir.speed.report import read_speed
from vheatir.speed.train_report import read_train_speed


class ThingError(ValueError):
    pass


THING = RecordFormat("vheatir-thing", 3, "file of things", "count again", ThingError)
#: what reads each format, and the version that it reads
READERS: dict[str, tuple[Callable[[Path], Any], int]] = {
    "vheatir-benchmark": (read_results, 1),
    "vheatir-speed": (read_speed, 1),
    "vheatir-train-speed": (read_train_speed, 2),
    "vheatir-curve": (read_curve, 1),
    "vheatir-compare": (read_comparison, 1),
    "vheatir-compare-costs": (read_costs, 1),
}


def test_a_file_comes_back_without_its_envelope(tmp_path: Path) -> None:
    path = tmp_path / "things.json"
    THING.write(path, {"things": ["ä", 1.5]})
    assert THING.read(path, dict) == {"things": ["ä", 1.5]}
    assert list(json.loads(path.read_text("utf-8"))) == ["format", "format_version", "things"]
    assert format_name(path) == "vheatir-thing"
    assert [file.name for file in tmp_path.iterdir()] == ["things.json"]


def test_numbers_that_json_does_not_know_are_refused(tmp_path: Path) -> None:
    THING.write(tmp_path / "things.json", {"thing": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        THING.write(tmp_path / "things.json", {"thing": math.nan})
    assert THING.read(tmp_path / "things.json", dict) == {"thing": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read as a file of things ("),
        ("{", "cannot be read as a file of things ("),
        ("[]", "is not a file of things (vheatir-thing); give another file, or leave it out."),
        ('{"format": "other", "format_version": 3}', "is not a file of things (vheatir-thing); "),
        ('{"format": "vheatir-thing"}', "has another version than 3; count again."),
        ('{"format": "vheatir-thing", "format_version": 2}', "has another version than 3; count again."),
        ('{"format": "vheatir-thing", "format_version": 3}', "is damaged (KeyError: 'things'); count again."),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "things.json"
    if text is not None:
        path.write_text(text, "utf-8")
    with pytest.raises(ThingError) as caught:
        THING.read(path, lambda content: content["things"])
    assert str(caught.value).startswith(f"{path} {message}")
    assert (text == "[]" or format_name(path) is None) == (text in (None, "{", "[]"))


@pytest.mark.parametrize("name", READERS)
def test_every_kind_of_file_is_refused_in_the_same_words(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file.json"
    read, version = READERS[name]
    refused = [
        ({"format": name, "format_version": version}, r"is damaged \(KeyError: "),
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
