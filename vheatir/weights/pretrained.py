"""Folders as the Hugging Face hub keeps them: a weights file, ``model.safetensors``, and its card, ``README.md``.

There is no ``config.json``: the header of the weights file says everything about the network, and nothing else is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vheatir.system.atomic import atomic_path
from vheatir.weights.file import WeightsError, WeightsHeader

__all__ = ["CARD", "WEIGHTS", "pretrained_file", "read_card", "write_card"]

#: names that the hub gives to the weights and to their card
WEIGHTS: Final = "model.safetensors"
CARD: Final = "README.md"

_METADATA: Final = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)
#: a table of scores: its metrics, its levels, and a row for each set of images
_TABLE: Final = re.compile(r"^\| ((?:PSNR|SSIM)(?: / SSIM)?) \|(.+)\|\n\|[-|]+\|\n((?:\|.+\|(?:\n|\Z))+)", re.MULTILINE)
_PIPELINE: Final = "image-to-image"
_USE: Final = """
## Use

```python
import vheatir  # pip install "vheatir[hub]"

model = vheatir.RestorationNetwork.from_pretrained("OWNER/NAME")  # or a folder
```
"""


def pretrained_file(
    source: str | Path,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
) -> Path:
    """Find the weights file of a folder, or of a repository of the hub, where it is downloaded at need.

    Args:
        source: a folder; or, as a string, ``owner/name`` of a repository, if there is no such folder.
        revision: branch, tag or commit of the repository.
        token: for private repositories; None takes the one that ``hf auth login`` stored.
        cache_dir: where downloads are kept; None for the hub's own place.
        force_download: download it again.
        local_files_only: use what was downloaded earlier, and no network.

    Raises:
        WeightsError: if there is no such folder, or huggingface_hub is needed and not installed.
        OSError: of huggingface_hub, if it cannot be downloaded.
    """
    if Path(source).is_dir():
        return Path(source) / WEIGHTS
    if not (isinstance(source, str) and re.fullmatch(r"\w[\w.-]*/[\w.-]+", source)):
        raise WeightsError(f"{source} is no folder, and no repository of the Hugging Face hub, owner/name.")
    try:
        from huggingface_hub import hf_hub_download
    except ModuleNotFoundError as error:
        raise WeightsError(
            f'{source} is no folder; to take it from the Hugging Face hub, pip install "vheatir[hub]".'
        ) from error
    file = hf_hub_download(
        source,
        WEIGHTS,
        revision=revision,
        token=token,
        cache_dir=cache_dir,
        force_download=force_download,
        local_files_only=local_files_only,
    )
    return Path(file)


def read_card(path: Path) -> str:
    """Read a card, without the metadata for the hub; "" if there is none."""
    return _METADATA.sub("", path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else ""


def write_card(path: Path, header: WeightsHeader, text: str) -> None:
    """Write a card with the metadata that the hub reads.

    Args:
        path: of the card.
        header: of the weights.
        text: Markdown about the weights; if it is empty, a few lines of what the header says. Its tables of scores,
            ``| PSNR / SSIM | σ 15 | σ 25 |`` with a row for each set of images, become the hub's evaluation results.

    Raises:
        OSError: if it cannot be written.
    """
    ranges = " and ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in header.ranges.items())
    text = text or f"# {header.name}\n\nWeights of vHeatIR, a `{header.network}`, trained for {ranges}.\n"
    if "from_pretrained" not in text:
        text += _USE
    with atomic_path(path) as temporary:
        temporary.write_text(_metadata(header, text) + text, encoding="utf-8", newline="\n")


def _metadata(header: WeightsHeader, text: str) -> str:
    """YAML between lines of three hyphens; strings are written as in JSON, which is YAML too."""
    is_identifier = re.fullmatch(r"[\w.+-]+", header.licence) is not None
    entries: dict[str, object] = {
        "library_name": "vheatir",
        "pipeline_tag": _PIPELINE,
        "license": header.licence.lower() if is_identifier else "other",
        **({} if is_identifier else {"license_name": header.licence}),
        "tags": ["image-restoration", {"denoise": "denoising", "jpeg": "jpeg-artifacts"}.get(header.task, "photo")],
        "metrics": [metric for metric in ("psnr", "ssim") if metric.upper() in text],
        **({"model-index": [{"name": header.name, "results": results}]} if (results := [*_results(text)]) else {}),
    }
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in entries.items() if value]
    return "\n".join(["---", *lines, "---", "", ""])


def _results(text: str) -> Iterator[dict[str, object]]:
    """The scores of a card's tables as evaluation results of the hub: one for each set and level."""
    for metrics, levels, rows in _TABLE.findall(text):
        for row in rows.splitlines():
            name, *cells = _cells(row)
            for level, cell in zip(_cells(levels), cells, strict=False):
                values = re.findall(r"\d+\.\d+", cell)
                yield {
                    "task": {"type": _PIPELINE},
                    "dataset": {"type": re.sub(r"\W+", "-", name.lower()), "name": name, "config": level},
                    "metrics": [
                        {"type": metric.lower(), "name": metric, "value": float(value)}
                        for metric, value in zip(metrics.split(" / "), values, strict=False)
                    ],
                }


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]
