"""The scores in the README are those of the committed result files; test_pretrained.py has those of the cards."""

from __future__ import annotations

from pathlib import Path

from vheatir.evaluation.results import Result, read_results

REPOSITORY = Path(__file__).resolve().parents[2]
OURS = "vHeatIR fast"
COLUMNS = {
    "Set12": ("Set12", "gray", "denoise"),
    "BSD68": ("BSD68", "gray", "denoise"),
    "McMaster": ("McMaster", "color", "denoise"),
    "LIVE1, gray": ("LIVE1", "gray", "jpeg"),
    "classic5, gray": ("classic5", "gray", "jpeg"),
    "LIVE1, RGB": ("LIVE1", "color", "jpeg"),
}
LEVELS = {"denoise": (15, 25, 50), "jpeg": (10, 20, 30, 40)}


def _measured() -> list[Result]:
    files = sorted((REPOSITORY / "docs" / "results").glob("*.json"))
    results = [result for path in files if "speed" not in path.name for result in read_results(path)]
    return [result for result in results if result.method == OURS]


def _scores(set_name: str, channels: str, task: str) -> str:
    means = {
        result.level: result.means["psnr"]
        for result in _measured()
        if (result.set, result.channels, result.task) == (set_name, channels, task)
    }
    return "/".join(f"{means[level]:.2f}" for level in LEVELS[task])


def _rows(text: str) -> dict[str, str]:
    """Our rows of the README's score tables: column title -> cell."""
    found: dict[str, str] = {}
    header: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith(("| σ 15/25/50", "| JPEG quality")):
            header = cells
        elif line.startswith("| vHeatIR `fast` |"):
            found |= dict(zip(header[1:], cells[1:], strict=True))
    return found


def test_the_readme_shows_every_score_as_measured() -> None:
    shown = _rows((REPOSITORY / "README.md").read_text("utf-8"))
    assert shown == {title: _scores(*column) for title, column in COLUMNS.items()}


def test_what_the_weights_still_miss_is_counted_from_the_measured_scores() -> None:
    """The rows ``| set, levels | aim | reached | missing |`` of docs/lab/training.md."""
    page = (REPOSITORY / "docs" / "lab" / "training.md").read_text("utf-8")
    rows = [row.strip("| ").split(" | ") for row in page.split("| | aim | reached | missing |")[1].splitlines()[2:8]]
    columns = ["Set12", "BSD68", "McMaster", "LIVE1, gray", "classic5, gray", "LIVE1, RGB"]
    for (name, aim, reached, missing), column in zip(rows, columns, strict=True):
        assert name.startswith(column.split(",")[0])
        scores = _scores(*COLUMNS[column]).split("/")
        assert reached.split("/") == scores[: len(aim.split("/"))]
        gaps = [float(asked) - float(score) for asked, score in zip(aim.split("/"), reached.split("/"), strict=True)]
        short = [f"{gap:.2f}" if gap > 0.001 else "–" for gap in gaps]
        assert missing == ("–" if set(short) == {"–"} else "/".join(short))
