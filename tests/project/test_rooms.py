"""Rooms import in one direction: docs/architecture.md has the order."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = REPOSITORY / "vheatir"
#: each may import those before it, and itself
ORDER: Final = (
    "errors",
    "system",
    "imageio",
    "nn",
    "weights",
    "levels",
    "data",
    "inference",
    "evaluation",
    "training",
    "speed",
    "research",
    "pages",
    "integrations",
    "cli",
)
FILES: Final = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The folder, or the module that stands by itself."""
    return path.parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Rooms that a file imports from, lazily or not; the package itself, which has the version, is none."""
    modules = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            modules.append(node.module)
        elif isinstance(node, ast.Import):
            modules += [name.name for name in node.names]
    return {module.split(".")[1] for module in modules if module.startswith("vheatir.")}


@pytest.mark.parametrize("file", [file for file in FILES if room_of(file) in ORDER], ids=str)
def test_imports_go_one_way(file: Path) -> None:
    own = ORDER.index(room_of(file))
    later = sorted(room for room in imported_rooms(PACKAGE / file) if ORDER.index(room) > own)
    assert not later, f"{file} imports from {', '.join(later)}, which stand after {ORDER[own]}"


def test_the_map_names_every_room_in_this_order() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", page, flags=re.MULTILINE)
    assert tuple(rooms) == ORDER


def test_every_room_has_its_tests() -> None:
    rooms = {room_of(file) for file in FILES if len(file.parts) > 1}
    assert {folder.name for folder in (REPOSITORY / "tests").iterdir() if folder.is_dir()} >= rooms - {"pages"}


def test_no_file_is_long() -> None:
    lengths = {file: len((PACKAGE / file).read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert not {str(file): length for file, length in lengths.items() if length > 400}
