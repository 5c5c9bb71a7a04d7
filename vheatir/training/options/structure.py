"""Checks the content of an option file against the structures of :mod:`vheatir.training.options.schema`.

msgspec says whether a value has a type; the walk through the sections is ours, so that a message names the section and
the nearest known key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, ValidationError, convert, inspect, structs

from vheatir.training import basicsr
from vheatir.training.options.errors import OptionError, hint, listed, section_name, unknown_key
from vheatir.training.options.schema import Phases
from vheatir.training.options.words import members, shown, words

__all__ = ["check_structure"]

#: sections whose type may be a class of BasicSR's, by their places
_OPEN: Final[Mapping[str, basicsr.Kind]] = {
    "network_g": "network",
    r"datasets\.\w+": "dataset",
    r"train\.pixel_opt": "loss",
    r"val\.metrics\..+": "metric",
}


def check_structure(content: Mapping[str, object], file: type[Struct]) -> None:
    """Check every key and value of an option file.

    Args:
        content: the file's content.
        file: its structure.

    Raises:
        OptionError: at the first key that is unknown or missing, section that is none, unknown ``type``, or value
            of another type or outside its range.
    """
    (kind,) = members(inspect.type_info(file))
    assert isinstance(kind, inspect.StructType)
    _check_section("", content, kind)


def _check_value(place: str, value: object, kind: inspect.Type, hint: object) -> None:
    """Check what stands at a place: ``kind`` describes the type ``hint``."""
    choices = members(kind)
    sections = [choice for choice in choices if isinstance(choice, inspect.StructType)]
    if value is None and any(isinstance(choice, inspect.NoneType) for choice in choices):
        return None
    if sections:
        content = _as_mapping(place, value)
        section = _of_type(place, content, sections)
        return None if section is None else _check_section(place, content, section)
    for choice in choices:
        if isinstance(choice, inspect.DictType):
            return _check_named(place, _as_mapping(place, value), choice)
        if isinstance(choice, inspect.ListType) and isinstance(members(choice.item_type)[0], inspect.StructType):
            return _check_items(place, value, kind, choice)
    return _check_leaf(place, value, kind, hint)


def _check_named(place: str, content: Mapping[str, object], mapping: inspect.DictType) -> None:
    """Check sections under names that the file chooses."""
    for name, value in content.items():
        if not isinstance(mapping.value_type, inspect.AnyType):
            _check_value(f"{place}.{name}", value, mapping.value_type, None)


def _check_items(place: str, value: object, kind: inspect.Type, sections: inspect.ListType) -> None:
    """Check a list of sections."""
    if not isinstance(value, list) or len(value) < (sections.min_length or 0):
        raise OptionError(f"{place} is {words(kind)}, not {shown(value)}.")
    for index, item in enumerate(value):
        _check_value(f"{place}[{index}]", item, sections.item_type, None)


def _check_section(place: str, content: Mapping[str, object], kind: inspect.StructType) -> None:
    fields = {field.name: field for field in kind.fields}
    hints = {field.name: field.type for field in structs.fields(kind.cls)}
    known = fields.keys() | ({kind.tag_field} if kind.tag_field else set())
    for key in content:
        if _phase(key, kind) not in known:
            raise OptionError(unknown_key(key, place, known))
    for key in sorted(field.name for field in kind.fields if field.required and field.name not in content):
        raise OptionError(f"Missing key {key} in {section_name(place)}.")
    for key, value in content.items():
        name = _phase(key, kind)
        if name in fields:
            _check_value(f"{place}.{key}".lstrip("."), value, fields[name].type, hints[name])


def _phase(key: object, kind: inspect.StructType) -> str:
    """The key that describes this one: ``val`` describes ``val_2``, but ``train`` stands only once."""
    name = str(key)
    many = issubclass(kind.cls, Phases) and not name.startswith("train")
    return name.split("_")[0] if many else name


def _of_type(
    place: str, content: Mapping[str, object], sections: Sequence[inspect.StructType]
) -> inspect.StructType | None:
    """The section whose ``type`` is the content's; None for a class of BasicSR's, which checks its arguments itself."""
    by_type = {str(section.tag): section for section in sections}
    if sections[0].tag_field is None:
        return sections[0]
    if "type" not in content:
        raise OptionError(f"Missing key type in the section {place}: known are {listed(by_type)}.")
    kind = str(content["type"])
    if kind in by_type:
        return by_type[kind]
    named = next((what for places, what in _OPEN.items() if re.fullmatch(places, place)), None)
    if named is not None and basicsr.find_class(named, kind) is not None:
        return None
    advice = "" if named is None else basicsr.advice()
    raise OptionError(f"Unknown type {kind} in the section {place}: {hint(kind, by_type)} {advice}".rstrip())


def _as_mapping(place: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise OptionError(f"Missing section {place}: it must be a mapping of keys to values.")
    return value


def _check_leaf(place: str, value: object, kind: inspect.Type, hint: object) -> None:
    if _has_type(_with_whole_numbers(value), hint):
        return
    if _takes_numbers(kind):
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, str) and _reads_as_number(part):
                raise OptionError(f"{place} is text, not a number: write !!float {part} instead of {part}.")
    raise OptionError(f"{place} is {words(kind)}, not {shown(value)}.")


def _has_type(value: object, hint: object) -> bool:
    try:
        convert(value, hint)
    except ValidationError:
        return False
    return True


def _with_whole_numbers(value: object) -> object:
    """``!!float 5e3``, as BasicSR's files say, is the whole number 5000."""
    if isinstance(value, list):
        return [_with_whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _takes_numbers(kind: inspect.Type) -> bool:
    for choice in members(kind):
        if isinstance(choice, inspect.IntType | inspect.FloatType):
            return True
        if isinstance(choice, inspect.ListType | inspect.VarTupleType):
            return _takes_numbers(choice.item_type)
        if isinstance(choice, inspect.TupleType):
            return _takes_numbers(choice.item_types[0])
    return False


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
