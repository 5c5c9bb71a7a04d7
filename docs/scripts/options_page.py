"""Writes docs/options.md, the page of all options, from the structures that check them.

python docs/scripts/options_page.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from msgspec import NODEFAULT, Struct, inspect

from vheatir.research.pretrain.options import PretrainingFile
from vheatir.research.race.options import ComparisonFile
from vheatir.training.options.schema import TestFile, TrainingFile
from vheatir.training.options.words import bare, members, shown, text_of, words

PAGE: Final = Path(__file__).resolve().parents[1] / "options.md"

_FILES: Final[dict[str, type[Struct]]] = {
    "Training": TrainingFile,
    "Pretraining": PretrainingFile,
    "Testing": TestFile,
    "Comparison": ComparisonFile,
}

_HEAD: Final = """\
# All options

An option file is YAML: sections of keys and values. The folder [options](../options) holds the
files of this project. Every command checks its file before it starts, and names a wrong key together
with the nearest known one.

This page is made by `python docs/scripts/options_page.py` from what checks the files
([vheatir/training/options/schema.py](../vheatir/training/options/schema.py)): do not edit it by hand.

## Files made of parts

`_base_` names one file or a list of files, relative to the file that it stands in:

```yaml
_base_: [../parts/fast.yml, ../parts/denoise_gray.yml]
name: my_training
train:
  scheduler: {minutes: 20}
```

- Later files win over earlier ones, and the file itself over all of them, key by key in every section.
- A section with another `type` replaces the one below as a whole. Lists are replaced as a whole too.
- A section may have a `_base_` of its own.
- The experiment's folder keeps the whole file, with its parts in one.

`--force_yml train:ema_decay=0.99` on the command line changes a key after that.

Write `!!float 2e-4`, since YAML reads `2e-4` as text. `~` stands for nothing.
"""


def page() -> str:
    """The whole page."""
    seen: set[type] = set()
    chapters = ("\n".join(_chapter(title, file, seen)) for title, file in _FILES.items())
    return "\n".join((_HEAD, *chapters))


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


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
