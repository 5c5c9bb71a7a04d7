"""The page of all options, and that the defaults it names are those of what is built from them."""

from __future__ import annotations

import importlib
from inspect import signature
from typing import Final

import pytest
from msgspec import NODEFAULT, Struct, inspect, structs

from vheatir.nn import VHeatIRConfig, VHeatPyramidConfig
from vheatir.training.muon import Muon
from vheatir.training.options import page, schema, sections
from vheatir.training.options.arguments import argument_texts
from vheatir.training.options.words import text_of
from vheatir.training.schedule import WarmupCosine

FILES: Final = (schema.TrainingFile, schema.PretrainingFile, schema.TestFile, schema.ComparisonFile)

#: what is built from a section by its own keys
BUILT: Final[list[tuple[type[Struct], str]]] = [
    (sections.VHeatIROptions, "vheatir.nn.VHeatIRConfig"),
    (sections.VHeatPyramidOptions, "vheatir.nn.VHeatPyramidConfig"),
    (sections.MuonOptions, "vheatir.training.muon.Muon"),
    (sections.Adam, "torch.optim.Adam"),
    (sections.AdamW, "torch.optim.AdamW"),
    (sections.WarmupCosineOptions, "vheatir.training.schedule.WarmupCosine"),
    (sections.MultiStepLR, "vheatir.training.schedule.MultiStepRestartLR"),
    (sections.CosineAnnealingRestartLROptions, "vheatir.training.schedule.CosineAnnealingRestartLR"),
    (sections.L1LossOptions, "vheatir.training.losses.L1Loss"),
    (sections.MSELossOptions, "vheatir.training.losses.MSELoss"),
    (sections.CharbonnierLossOptions, "vheatir.training.losses.CharbonnierLoss"),
    (sections.PSNRLossOptions, "vheatir.training.losses.PSNRLoss"),
]


def structure(section: type[Struct]) -> inspect.StructType:
    kind = inspect.type_info(section)
    assert isinstance(kind, inspect.StructType)
    return kind


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.__name__)
def test_every_key_is_explained_in_a_sentence(file: type[Struct]) -> None:
    kind = structure(file)
    for section in (kind, *(section for _, section in page._sections("", kind))):
        for field in section.fields:
            text = text_of(field.type, "description")
            assert text.endswith("."), f"{section.cls.__name__}.{field.name}"
            assert "|" not in text


@pytest.mark.parametrize(("section", "path"), BUILT, ids=lambda value: str(value).rsplit(".", 1)[-1])
def test_defaults_are_those_of_what_is_built(section: type[Struct], path: str) -> None:
    module, name = path.rsplit(".", 1)
    parameters = signature(getattr(importlib.import_module(module), name)).parameters
    for field in structs.fields(section):
        assert field.name in parameters
        if field.default is not NODEFAULT:
            assert field.default == parameters[field.name].default, field.name


@pytest.mark.parametrize(
    ("section", "constructor", "left_out"),
    [
        (sections.VHeatIROptions, VHeatIRConfig, set()),
        (sections.VHeatPyramidOptions, VHeatPyramidConfig, set()),
        (sections.MuonOptions, Muon, {"params"}),
        (sections.WarmupCosineOptions, WarmupCosine, {"optimizer", "total_iter"}),
    ],
)
def test_constructors_say_what_their_options_are(section: type[Struct], constructor: type, left_out: set[str]) -> None:
    assert {field.name for field in structs.fields(section)} == set(signature(constructor).parameters) - left_out
    texts = argument_texts(constructor)
    for field in structure(section).fields:
        assert text_of(field.type, "description") == texts[field.name]


class Documented:
    """A class.

    Args:
        first: on
            two lines, with ``code`` and :class:`Documented`.
        second: plain.

    Raises:
        ValueError: never.
    """

    def __init__(self, first: int, second: int) -> None:
        self.values = (first, second)


def test_texts_of_arguments() -> None:
    assert argument_texts(Documented) == {
        "first": "on two lines, with ``code`` and `Documented`.",
        "second": "plain.",
    }
