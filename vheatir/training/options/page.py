"""The table of all options in docs/options.md, made of the structures that check them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from msgspec import NODEFAULT, Struct, inspect

from vheatir.training.options.schema import ComparisonFile, PretrainingFile, TestFile, TrainingFile
from vheatir.training.options.words import bare, members, shown, text_of, words

__all__ = ["options_table"]

_FILES: Final[dict[str, type[Struct]]] = {
    "Training": TrainingFile,
    "Pretraining": PretrainingFile,
    "Testing": TestFile,
    "Comparison": ComparisonFile,
}


def options_table(_: Path) -> str:
    """A chapter for each kind of file; made of no measurements."""
    seen: set[type] = set()
    return "\n".join("\n".join(_chapter(title, file, seen)) for title, file in _FILES.items())


def _chapter(title: str, file: type[Struct], seen: set[type]) -> Iterator[str]:
    """One kind of file; sections of an earlier chapter are not repeated."""
    (kind,) = members(inspect.type_info(file))
    assert isinstance(kind, inspect.StructType)
    yield f"## {title}\n\n{file.__doc__}\n"
    yield from _table(kind, seen)
    known = set(seen)
    for place, section in _sections("", kind):
        if section.cls not in known and section.cls not in seen:
            seen.add(section.cls)
            tag = f", `type: {section.tag}`" if section.tag else ""
            yield f"### `{place}`{tag}\n"
            yield from ([f"{section.cls.__doc__}\n"] if section.cls.__doc__ else [])
            yield from _table(section, known)


def _sections(place: str, kind: inspect.StructType) -> Iterator[tuple[str, inspect.StructType]]:
    """All sections within a section, with their places."""
    for field in kind.fields:
        name = f"{place}.{field.name}".lstrip(".")
        inner = _inner(field.type)
        for section in inner:
            yield name, section
        for section in inner:
            yield from _sections(name, section)


def _inner(kind: inspect.Type) -> list[inspect.StructType]:
    """The sections that a key may hold, alone, in a list, or by name."""
    found = []
    for member in members(kind):
        if isinstance(member, inspect.StructType):
            found.append(member)
        elif isinstance(member, inspect.ListType):
            found += _inner(member.item_type)
        elif isinstance(member, inspect.DictType):
            found += _inner(member.value_type)
    return found


def _table(section: inspect.StructType, known: set[type]) -> Iterator[str]:
    if not section.fields:
        yield "No other keys.\n"
        return
    yield "| key | value | default | meaning |\n|---|---|---|---|"
    for field in section.fields:
        text = text_of(field.type, "description").replace("``", "`")
        yield f"| `{field.name}` | {_value(field.type, known)} | {_default(field)} | {text} |"
    yield ""


def _value(kind: inspect.Type, known: set[type]) -> str:
    inner = _inner(kind)
    if not inner:
        return words(kind)
    form = {inspect.ListType: "list of sections", inspect.DictType: "named sections"}
    said = form.get(type(members(kind)[0]), "section")
    types = [f"`{section.tag}`" for section in inner if section.tag]
    said += f" of `type` {', '.join(types)}" if types else ""
    nothing = ", or ~" if any(isinstance(bare(member), inspect.NoneType) for member in members(kind)) else ""
    return said + nothing + (", as in a training file" if all(section.cls in known for section in inner) else "")


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    return "" if field.default is NODEFAULT else f"`{_yaml(field.default)}`"


def _yaml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    return f'"{value}"' if isinstance(value, str) and value.isdigit() else shown(value)
