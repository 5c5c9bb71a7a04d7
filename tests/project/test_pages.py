"""Tables in pages: how they are renewed, and that those of this project are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vheatir.cli.main import main
from vheatir.cli.report import tables
from vheatir.pages.marks import PageError, find_pages, renewed

Captured = pytest.CaptureFixture[str]
REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = find_pages(REPOSITORY / "docs")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_tables_are_those_of_the_measurements(page: Path) -> None:
    pytest.importorskip("msgspec", reason="the page of options needs msgspec")
    assert renewed(page, tables()) == page.read_text("utf-8"), "run vheatir report"


def test_every_table_stands_in_a_page() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    assert [name for name in tables() if f"<!-- table: {name}" not in text] == []


def numbers(file: Path) -> str:
    return f"\n| {json.loads(file.read_text())} |\n\n"


def test_what_stands_between_the_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.json").write_text("1")
    (tmp_path / "b.json").write_text("2")
    begin, end = "<!-- table: numbers sub/a.json -->", "<!-- end -->"
    page.write_text(f"a\n\n{begin}\nold\n{end}\n\nb\n<!-- table: numbers b.json -->\n{end}\n")
    expected = f"a\n\n{begin}\n| 1 |\n{end}\n\nb\n<!-- table: numbers b.json -->\n| 2 |\n{end}\n"
    assert renewed(page, {"numbers": numbers}) == expected
    page.write_text(expected)
    assert renewed(page, {"numbers": numbers}) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- table: nubmers a.json -->\n<!-- end -->\n", "page.md has a table nubmers: known are numbers"),
        ("<!-- table: numbers a.json -->\nold\n", "1 tables and 0 ends"),
        ("<!-- table: numbers a.json --> text\n<!-- end -->\n", "1 tables and 0 ends"),
    ],
)
def test_a_place_that_cannot_be_filled_is_named(tmp_path: Path, text: str, message: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(PageError, match=message):
        renewed(page, {"numbers": numbers})


def test_the_command_renews_and_checks(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "photo.json").write_text(json.dumps({"clean": {"--task photo": {"a": 40.0, "b": 41.0}}}))
    page = tmp_path / "sub" / "page.md"
    page.parent.mkdir()
    (tmp_path / "none.md").write_text("nothing")
    page.write_text("<!-- table: photo ../photo.json -->\n<!-- end -->\n")
    before = page.read_text()
    assert main(["report", str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().out == f"{page} is out of date: run vheatir report {tmp_path}.\n"
    assert page.read_text() == before
    assert main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{page} is renewed.\n"
    assert "| --task photo | 40.50 |" in page.read_text()
    assert main(["report", str(tmp_path), "--check"]) == 0
    assert main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""


def test_the_command_names_what_is_missing(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "page.md").write_text("<!-- table: scores results -->\n<!-- end -->\n")
    assert main(["report", str(tmp_path)]) == 2
    assert "results holds no result files: score with --output" in capsys.readouterr().err
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "c.json").write_text("[]")
    assert main(["report", str(tmp_path)]) == 2
    assert "c.json is not a result file" in capsys.readouterr().err
