"""What can be measured, by name: the one list of the commands, their help and the tables. It imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

__all__ = ["DEFAULT_NAMES", "NETWORK_NAMES", "ROW_FACTS", "ROW_NAMES", "RowFacts", "rows_help"]


@dataclass(frozen=True)
class RowFacts:
    """One competitor; :mod:`vheatir.speed.rows` builds it.

    Attributes:
        title: what it is, for tables.
        kind: "ours" (our network), "photo" (our pyramid), "swinir" (BasicSR's), "restorer" (the bundled weights as
            people use them) or "operator" (the lone operator).
        help: what it is, for the command; rows of the same words stand together there.
        options: what is handed to the builder of its kind.
        by_default: it is measured unless told otherwise.
    """

    title: str
    kind: Literal["ours", "photo", "swinir", "restorer", "operator"]
    help: str
    options: Mapping[str, Any] = field(default_factory=dict)
    by_default: bool = True


_OURS: Final = "our configurations, whole image in one pass"
_RESTORER: Final = "the bundled weights, fast or photo, as vheatir.restore runs them: 8-bit image, default tiles"
_ONNX: Final = "the same by ONNX Runtime"
_SWINIR: Final = "BasicSR's SwinIR at the size of light and of paper, padded to whole windows"

#: by the name on the command line, in the order of the tables
ROW_FACTS: Final[Mapping[str, RowFacts]] = {
    "fast": RowFacts("vHeatIR `fast`", "ours", _OURS, {"name": "fast"}),
    "restorer": RowFacts("vHeatIR `fast` in default tiles", "restorer", _RESTORER),
    "onnx": RowFacts("`fast` in default tiles, ONNX Runtime", "restorer", _ONNX, {"backend": "onnx"}, by_default=False),
    "restorer-photo": RowFacts(
        "vHeatIR photo in default tiles", "restorer", _RESTORER, {"task": "photo"}, by_default=False
    ),
    "onnx-photo": RowFacts(
        "photo in default tiles, ONNX Runtime",
        "restorer",
        _ONNX,
        {"task": "photo", "backend": "onnx"},
        by_default=False,
    ),
    "photo": RowFacts(
        "vHeatIR photo", "photo", "the network of --task photo, told nothing, whole image in one pass", by_default=False
    ),
    "light": RowFacts("vHeatIR `light`", "ours", _OURS, {"name": "light"}),
    "paper": RowFacts("vHeatIR `paper`", "ours", _OURS, {"name": "paper"}, by_default=False),
    "swinir-light": RowFacts(
        "SwinIR lightweight (60, 4 x 6)", "swinir", _SWINIR, {"embed_dim": 60, "depths": (6, 6, 6, 6)}
    ),
    "swin-fast": RowFacts(
        "vHeatIR `fast` with window attention",
        "ours",
        "fast with shifted-window attention in place of heat (mixer: attention)",
        {"name": "fast", "mixer": "attention"},
    ),
    "swinir": RowFacts(
        "SwinIR (180, 6 x 6)", "swinir", _SWINIR, {"embed_dim": 180, "depths": (6, 6, 6, 6, 6, 6)}, by_default=False
    ),
    "heat": RowFacts(
        "heat operator (60 channels)",
        "operator",
        "the lone operator (60 channels, float32)",
        {"products": "ours"},
    ),
    "heat-dense": RowFacts(
        "dense products as published (60 channels)",
        "operator",
        "its dense products as published",
        {"products": "convolution"},
    ),
    "heat-matmul": RowFacts(
        "dense products by torch.matmul (60 channels)",
        "operator",
        "the same dense products by torch.matmul",
        {"products": "matmul"},
        by_default=False,
    ),
}
ROW_NAMES: Final = tuple(ROW_FACTS)
DEFAULT_NAMES: Final = tuple(name for name, row in ROW_FACTS.items() if row.by_default)
#: what has training steps
NETWORK_NAMES: Final = tuple(name for name, row in ROW_FACTS.items() if row.kind in ("ours", "swinir"))


def rows_help() -> str:
    """Lines for a command's help: names, and what they are."""
    names: dict[str, list[str]] = {}
    for name, row in ROW_FACTS.items():
        names.setdefault(row.help, []).append(name)
    return "\n".join(f"  {', '.join(group):<24} {text}" for text, group in names.items())
