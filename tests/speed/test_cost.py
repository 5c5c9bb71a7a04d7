"""Costs: multiply-adds by hand, memory by a known allocation, references against formulas, files and tables."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.fft
import torch
from torch import Tensor, nn
from training_options import needs_basicsr

from vheatir.cli.main import main
from vheatir.cli.speed import build_parser
from vheatir.evaluation.environment import Environment
from vheatir.nn import VHeatIR, configuration
from vheatir.nn.complexity import count_multiply_adds, count_parameters, image_multiply_adds
from vheatir.pages.tables import train_speed as train_speed_table
from vheatir.speed import measure, train_report
from vheatir.speed.folder import measure_folder
from vheatir.speed.measure import Plan, measure_sizes
from vheatir.speed.process import ProcessCost, peak_memory, run_process
from vheatir.speed.reference import CostError, DenseHeat, Heat, SwinIR
from vheatir.speed.report import (
    RATIOS,
    SPEED_FILE,
    Cell,
    FolderRun,
    SpeedFileError,
    SpeedReport,
    markdown,
)
from vheatir.speed.row_list import DEFAULT_NAMES, NETWORK_NAMES, ROW_NAMES
from vheatir.speed.rows import ROWS, HeatRow, NetworkRow
from vheatir.speed.timing import Timing
from vheatir.speed.train_report import TRAIN_SPEED_FILE, TrainSpeedReport
from vheatir.speed.training import TrainingPlan, training_step

CPU = torch.device("cpu")
ENVIRONMENT = Environment("A processor", "cpu", 2, "2.13.0", "3.12.3", "0.1.0", "abc1234", "2026-01-31")


# multiply-adds


def test_multiply_adds_of_one_block_by_hand_with_its_transforms() -> None:
    height, width, channels, ratio = 6, 10, 8, 0.25
    network = VHeatIR(embed_dim=channels, depths=(1,), heat_ratio=ratio, frequency_resolution=4)
    block = network.groups[0].get_submodule("blocks.0")
    resolution, conducting, pixels = 4, 2, height * width
    embedding = torch.zeros(resolution + 1, resolution + 1, channels)

    depthwise = pixels * 9 * channels
    linear_maps = pixels * (3 * channels**2 + 2 * channels * 2 * channels)  # value, gate, project; MLP
    transforms = 2 * conducting * (height**2 * width + height * width**2)
    conductivity = (resolution + 1) ** 2 * channels * conducting
    rows_read = height * (resolution + 1) ** 2 * conducting
    columns_read = height * width * (resolution + 1) * conducting
    expected = depthwise + linear_maps + transforms + conductivity + rows_read + columns_read
    assert count_multiply_adds(block, torch.zeros(1, height, width, channels), embedding, torch.zeros(1)) == expected


def test_any_module_is_counted_as_our_own_network_is() -> None:
    network = VHeatIR(in_chans=3, embed_dim=8, depths=(1, 2), heat_ratio=0.5)
    before = copy.deepcopy(network.state_dict())
    counted = count_multiply_adds(network, torch.rand(1, 3, 20, 28), torch.rand(1))  # values do not matter
    assert counted == image_multiply_adds(network, 20, 28)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@needs_basicsr
def test_multiply_adds_of_swinir_by_hand() -> None:
    """Swin (ICCV 2021): 4 h w C^2 + 2 M^2 h w C for attention in windows of side M; here an MLP of ratio 2."""
    side, channels, window, depths = 16, 12, 8, (2, 1)
    network = SwinIR(in_chans=3, embed_dim=channels, depths=depths).eval()
    pixels = side**2
    block = 4 * pixels * channels**2 + 2 * window**2 * pixels * channels + 2 * pixels * channels * 2 * channels
    closing = 9 * pixels * channels**2  # of each group, and after the body
    expected = sum(depths) * block + (len(depths) + 1) * closing + 2 * 9 * pixels * 3 * channels
    assert count_multiply_adds(network, torch.zeros(1, 3, side, side)) == expected


# references


@pytest.mark.parametrize("convolve", [True, False])
def test_the_dense_reference_is_the_formula(convolve: bool) -> None:
    height, width = 7, 12
    torch.manual_seed(0)
    heat = Heat(3).double()
    nn.init.normal_(heat.embedding.weight)
    u = torch.randn(2, height, width, 3, dtype=torch.float64)
    with torch.no_grad():
        conducted = DenseHeat(heat, height, width, convolve=convolve).double()(u).numpy()
        nodes = nn.functional.softplus(heat.operator.conductivity.linear(heat.embedding.weight)).numpy()
    resolution = nodes.shape[0] - 1
    k = np.empty((height, width, 3))
    for channel in range(3):
        along = [
            np.interp(np.arange(width) * resolution / width, range(resolution + 1), row) for row in nodes[..., channel]
        ]
        for column in range(width):
            values = [row[column] for row in along]
            k[:, column, channel] = np.interp(np.arange(height) * resolution / height, range(resolution + 1), values)
    squared = (np.pi * np.arange(height) / height)[:, None] ** 2 + (np.pi * np.arange(width) / width) ** 2
    spectrum = scipy.fft.dctn(u.numpy(), axes=(1, 2), norm="ortho") * np.exp(-k * squared[..., None])
    assert np.allclose(conducted, scipy.fft.idctn(spectrum, axes=(1, 2), norm="ortho"), atol=1e-12)


@pytest.mark.parametrize("row", ["heat-dense", "heat-matmul"])
def test_ours_and_the_dense_products_agree(row: str) -> None:
    ours, dense = ROWS["heat"].build(24, CPU)(), ROWS[row].build(24, CPU)()
    assert ours.shape == (1, 24, 24, 60)
    assert float((ours - dense).abs().max() / dense.abs().max()) < 1e-5


@needs_basicsr
def test_swinir_lightweight_is_the_published_one() -> None:
    network = ROWS["swinir-light"].make()  # type: ignore[union-attr]
    assert isinstance(network, SwinIR)
    parameters = count_parameters(network)
    assert 0.89e6 < parameters < 0.92e6
    swinir = network.swinir.eval()
    x = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        assert torch.equal(network.eval()(x), swinir(x))


@needs_basicsr
def test_swinir_takes_any_size_by_reflection() -> None:
    network = SwinIR(in_chans=3, embed_dim=6, depths=(1,)).eval()
    x = torch.rand(1, 3, 21, 30)
    padded = nn.functional.pad(x, (0, 2, 0, 3), mode="reflect")
    with torch.no_grad():
        restored, whole = network(x), network(padded)
    assert restored.shape == x.shape
    assert torch.equal(restored, whole[..., :21, :30])


def test_window_attention_in_our_network_is_the_mixer() -> None:
    network = ROWS["swin-fast"].make()  # type: ignore[union-attr]
    assert isinstance(network, VHeatIR)
    assert network.config == replace(configuration("fast", 3), mixer="attention")


def test_the_list_of_rows_says_what_each_is() -> None:
    assert tuple(ROWS) == ROW_NAMES
    networks = tuple(name for name, row in ROWS.items() if isinstance(row, NetworkRow))
    assert tuple(name for name in networks if name != "photo") == NETWORK_NAMES  # it trains on batches of its own kind
    assert {name for name, row in ROWS.items() if isinstance(row, NetworkRow) and row.is_swinir} == {
        "swinir-light",
        "swinir",
    }
    assert set(DEFAULT_NAMES) <= set(ROW_NAMES)
    assert {name for pair in RATIOS for name in pair} <= set(ROW_NAMES)


def test_help_and_page_name_every_row(repository: Path) -> None:
    listed = build_parser().format_help().split("rows:\n")[1].split("\n\n")[0]
    names = [name.strip() for line in listed.splitlines() for name in line[:26].split(",")]
    assert sorted(names) == sorted(ROW_NAMES)
    table = (repository / "docs" / "speed.md").read_text("utf-8").split("| row | what it is |")[1].split("\n\n")[0]
    documented = [name for cell in re.findall(r"(?m)^\| ([^|]+) \|", table) for name in re.findall(r"`(.+?)`", cell)]
    assert sorted(documented) == sorted(ROW_NAMES)


def test_the_list_of_rows_imports_nothing_heavy(repository: Path) -> None:
    """So that a command's help answers at once."""
    code = "import sys, vheatir.speed.row_list; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("row", ["restorer", "restorer-photo"])
def test_onnx_runtime_is_measured_at_the_same_work(row: str) -> None:
    pytest.importorskip("onnxruntime")
    ours, other = (ROWS[name].build(24, CPU)() for name in (row, row.replace("restorer", "onnx")))
    np.testing.assert_allclose(ours.int(), other.int(), rtol=0, atol=1)  # rounding
    assert not torch.equal(ours, ROWS["restorer" if "photo" in row else "restorer-photo"].build(24, CPU)())


@pytest.mark.parametrize("row", ["fast", "restorer"])
def test_rows_restore_an_image_of_their_size(row: str) -> None:
    restored = ROWS[row].build(24, CPU)()
    assert set(restored.shape) <= {1, 3, 24}
    assert restored.numel() == 3 * 24 * 24


# memory and processes


def test_peak_memory_is_what_the_work_needs_at_once() -> None:
    megabyte = 2**20
    np.ones(300 * megabyte, np.uint8)  # an earlier peak, given back
    held = np.ones(100 * megabyte, np.uint8)  # what is there before does not count

    def work() -> None:
        np.ones(64 * megabyte, np.uint8)
        np.ones(96 * megabyte, np.uint8)  # given back before the end: the peak is not what remains

    peak = peak_memory(work, CPU)
    assert peak is not None
    assert 90 * megabyte < peak < 110 * megabyte
    assert held.nbytes == 100 * megabyte


def test_a_process_tells_its_memory() -> None:
    cost = run_process("heat-dense", 128, threads=1, device=CPU, timeout=300)
    assert cost.peak_bytes is not None
    # input, result, decay and one spectrum at least, of 128 x 128 x 60 floats
    assert 4 * 128 * 128 * 60 * 4 < cost.peak_bytes < 300e6
    assert cost.seconds > 0


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(CostError, match=r"^failed: .*invalid choice: 'absent'"):
        run_process("absent", 16, threads=1, device=CPU, timeout=300)


def test_a_process_that_takes_too_long_is_ended() -> None:
    with pytest.raises(CostError, match="more than 0 s"):
        run_process("heat", 16, threads=1, device=CPU, timeout=0.05)


def test_a_folder_run_holds_its_network_calls() -> None:
    run = measure_folder(photos=2, megapixels=0.002, rounds=1, threads=1)
    assert (run.photos, run.width, run.height) == (2, 52, 39)
    assert 0 < run.network[0] < run.process[0]


# the measurement


def plan(**changes: Any) -> Plan:
    arguments: dict[str, Any] = {"rows": ("heat", "heat-dense"), "sizes": (16,), "rounds": 2, "processes": 1}
    return Plan(**(arguments | {"limit": 60.0, "threads": 1, "device": CPU} | changes))


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """No process is started: what would be, in order."""
    started: list[tuple[str, int]] = []

    def run(row: str, size: int, **_options: object) -> ProcessCost:
        started.append((row, size))
        if (row, size) == ("heat-dense", 20):
            raise CostError("failed: ended by signal 9")
        return ProcessCost(seconds=1.0, peak_bytes=1000 + len(started))

    monkeypatch.setattr(measure, "run_process", run)
    return started


def test_sizes_ascend_and_cells_hold_what_was_measured(processes: list[tuple[str, int]]) -> None:
    first, second = measure_sizes(plan(sizes=(20, 16, 16)))
    assert [(cell.row, cell.size) for cell in first + second] == [
        ("heat", 16), ("heat-dense", 16), ("heat", 20), ("heat-dense", 20),
    ]  # fmt: skip
    assert all(cell.call is not None and len(cell.call.seconds) == 2 for cell in first)
    ours, dense = first
    assert ours.difference is not None
    assert ours.difference < 1e-5
    assert dense.difference is None
    # the largest of the measurements of one competitor, taken in turns with the others
    assert processes[:4] == [("heat", 16), ("heat-dense", 16), ("heat", 16), ("heat-dense", 16)]
    assert ours.peak_bytes == max(1000 + index for index, entry in enumerate(processes, 1) if entry == ("heat", 16))
    failed = second[1]
    assert (failed.skipped, failed.call, failed.process) == ("failed: ended by signal 9", None, None)


@pytest.mark.usefixtures("processes")
def test_networks_are_counted() -> None:
    (cells,) = measure_sizes(plan(rows=("fast",), rounds=1))
    network = VHeatIR(configuration("fast", 3))
    assert cells[0].parameters == count_parameters(network)
    assert cells[0].multiply_adds == image_multiply_adds(network, 16, 16)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (None, None),
        ({"call": Timing((1.0,)), "peak_bytes": 1000}, None),
        ({"call": Timing((16.0,)), "peak_bytes": 1000}, "more than 60 s a call expected"),
        ({"call": Timing((1.0,)), "peak_bytes": 10**9}, "more than 4 GB of memory expected, 2 GB free"),
        ({"skipped": "failed"}, "not tried, because it was not measured at 100²"),
    ],
)
def test_hopeless_cells_are_not_started(
    before: dict[str, Any] | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "free_bytes", lambda _device: 2 * 10**9)
    cell = None if before is None else Cell(row="fast", title="", size=100, **before)
    assert measure._reason(cell, 200, plan()) == expected


# files and tables


def cell(row: str, size: int, seconds: Sequence[float | None], **changes: Any) -> Cell:
    rounds = (*seconds, *(None for _ in range(3 - len(seconds))))
    return Cell(row=row, title=f"title of {row}", size=size, call=Timing(rounds), **changes)


def report() -> SpeedReport:
    cells = [
        cell("fast", 1000, (2.0, 4.0, 2.0), parameters=262_000, multiply_adds=62_100 * 10**6, peak_bytes=400 * 10**6),
        cell("swinir-light", 1000, (60.0, 100.0), process=Timing((70.0,)), peak_bytes=2000 * 10**6),
        cell("restorer", 500, (0.001,)),
        cell("restorer", 1000, (2.0,), process=Timing((3.0,))),
        cell("restorer", 2000, (10.0,)),
        cell("heat", 1000, (0.5,), difference=3e-7, process=Timing((1.0,))),
        cell("heat-dense", 1000, (1.5,), process=Timing((1.0,))),
        replace(cell("swinir-light", 2000, (1.0,)), call=None, skipped="more than 300 s a call expected"),
    ]
    return SpeedReport(ENVIRONMENT, cells, FolderRun(20, 1633, 1225, (44.0, 30.0, 33.0), (40.0, 25.0, 30.0)))


def test_a_speed_file_comes_back_as_it_was(tmp_path: Path) -> None:
    SPEED_FILE.write(tmp_path / "speed.json", report())
    assert SPEED_FILE.read(tmp_path / "speed.json") == report()
    assert markdown(SPEED_FILE.read(tmp_path / "speed.json")) == markdown(report())


def test_the_tables_say_what_was_measured() -> None:
    text = markdown(report())
    assert text.startswith(f"Machine: {ENVIRONMENT}.\n")
    for line in (
        "| title of fast | 0.26 M | – | 2.00 | – |",  # the median of 2, 4, 2 s on one megapixel
        "| title of restorer | – | 0.00400 | 2.00 | 2.50 |",  # 1 ms on a quarter, 10 s on four
        "| title of fast | 0.26 M | – | 400 | – |",
        "| title of fast | 0.26 M | – | 62.1 | – |",
        "| `swinir-light` / `fast`, one call | – | 27.5 (25.0 – 30.0) | – |",  # 60/2 and 100/4
        "| `swinir-light` / `fast`, peak memory | – | 5.00 | – |",
        "| `swinir-light` / `restorer`, whole process | – | 23.3 | – |",
        "| `heat-dense` / `heat`, one call | – | 3.00 | – |",
        "- `swinir-light` at 2000²: more than 300 s a call expected",
    ):
        assert line in text.splitlines()
    assert "`heat-dense` / `heat`, whole process" not in text
    assert "as a share of the largest value: 1000²: 3.0e-07." in text
    # 500² is below a quarter of a megapixel; 2.00 and 2.50 s a megapixel differ by a quarter
    assert "`restorer` from 1.00 to 4.00 megapixels: the dearest is 25% above the cheapest." in text
    assert "20 photos of 1633 x 1225: 33.0 s, 1.10 (1.10 – 1.20) times the sum of its network calls." in text


def test_a_first_call_is_marked() -> None:
    only = replace(cell("fast", 1000, (7.0,)), call=Timing((7.0, None), cold=True))
    assert "| title of fast | – | 7.00 (first call) |" in markdown(SpeedReport(ENVIRONMENT, [only]))


def test_files_that_are_no_speed_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    with pytest.raises(SpeedFileError, match=r"speed\.json cannot be read"):
        SPEED_FILE.read(path)
    path.write_text('{"format": "other"}', "utf-8")
    with pytest.raises(SpeedFileError, match=r"speed\.json is not a speed file"):
        SPEED_FILE.read(path)
    SPEED_FILE.write(path, report())
    content = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(content | {"format_version": 2}), "utf-8")
    with pytest.raises(SpeedFileError, match="another version than 1"):
        SPEED_FILE.read(path)
    del content["cells"][0]["call"]["seconds"]
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(SpeedFileError, match=r"speed\.json is damaged \(ValidationError: .*seconds"):
        SPEED_FILE.read(path)


# the commands


@pytest.mark.usefixtures("processes")
def test_the_speed_command_measures_writes_and_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "speed.json"
    options = ["--sizes", "16", "--rows", "heat", "heat-dense", "--rounds", "2", "--processes", "1", "--threads", "1"]
    assert main(["speed", *options, "--output", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "| `heat-dense` / `heat`, one call |" in printed
    assert "1 thread, torch" in printed
    assert main(["speed", "--show", str(path)]) == 0
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sizes", "8"], "--sizes are 16 pixels or more"),
        (["--rounds", "0"], "--rounds, --processes and --threads are 1 or more"),
        (["--limit", "0"], "--limit is more than 0"),
        (["--output", "absent/speed.json"], "The folder of --output absent/speed.json does not exist"),
        (["--show", "absent.json"], "absent.json cannot be read"),
        (["--device", "tpu7"], "Device tpu7 cannot be used"),
    ],
)
def test_wrong_options_are_one_sentence(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_missing_basicsr_is_named(
    processes: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert main(["speed", "--rows", "swinir-light", "--sizes", "16"]) == 2
    assert "SwinIR is BasicSR's: leave it out, or install BasicSR." in capsys.readouterr().err
    assert processes == []


def training_plan(**changes: Any) -> TrainingPlan:
    arguments: dict[str, Any] = {"rows": ("fast",), "batch": 2, "crop": 16, "precision": "fp32"}
    arguments |= {"optimizer": "AdamW", "compile": False}
    return TrainingPlan(**(arguments | {"rounds": 1, "limit": 60.0, "device": CPU} | changes))


def test_a_training_step_is_one_of_adamw_on_clipped_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shift(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(torch.tensor([5.0, -5.0, 5.0]))

        def forward(self, x: Tensor, level: Tensor) -> Tensor:
            assert level.shape == (2,)
            return x + 100 * self.shift[:, None, None]

    network = Shift()
    monkeypatch.setattr("vheatir.speed.training.ROWS", {"fast": NetworkRow("", lambda: network)})
    training_step("fast", training_plan())()
    gradient = network.shift.grad
    assert gradient is not None
    assert float(gradient.norm()) == pytest.approx(0.5, rel=1e-4)
    # the first step of Adam moves every value by the learning rate, against its gradient
    assert torch.allclose(network.shift, torch.tensor([5 - 1e-4, -5 + 1e-4, 5 - 1e-4]), rtol=0, atol=1e-6)


def test_bf16_training_runs_and_keeps_float32_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    network = VHeatIR(in_chans=3, embed_dim=4, depths=(1,))
    monkeypatch.setattr("vheatir.speed.training.ROWS", {"fast": NetworkRow("", lambda: network)})
    training_step("fast", training_plan(precision="bf16"))()
    assert all(
        parameter.grad is not None and parameter.grad.dtype == torch.float32 for parameter in network.parameters()
    )


def test_the_lone_operator_is_not_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vheatir.speed.training.ROWS", {"heat": HeatRow("", products="ours")})
    with pytest.raises(CostError, match="heat is no network"):
        training_step("heat", training_plan())


def test_training_speed_is_megapixels_of_crops_a_second(tmp_path: Path) -> None:
    timings = {"fast": Timing((0.5, 0.25, 0.5)), "light": Timing((2.0, 1.0, 1.0))}
    report = TrainSpeedReport(ENVIRONMENT, 8, 250, "fp32", "Muon", compile=False, timings=timings)
    text = train_report.markdown(report)
    # half a megapixel in half a second
    assert "| `fast` | 1 | 0.5 (0.25 – 0.5) | 1 (1 – 1) |" in text.splitlines()
    assert "| `light` | 0.5 | 1 (1 – 2) | 4 (2 – 4) |" in text.splitlines()
    assert "8 RGB crops of 250², fp32, Muon" in text
    path = tmp_path / "training.json"
    TRAIN_SPEED_FILE.write(path, report)
    assert TRAIN_SPEED_FILE.read(path) == report
    assert train_speed_table(tmp_path) == text


def test_the_training_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "training.json"
    options = ["--batch", "1", "--crop", "16", "--rounds", "1", "--limit", "5", "--threads", "1"]
    assert main(["train-speed", *options, "--output", str(path)]) == 0
    assert "| `fast` |" in capsys.readouterr().out
    written = TRAIN_SPEED_FILE.read(path)
    assert (list(written.timings), written.optimizer) == (["fast"], "Muon")
    assert main(["train-speed", "--crop", "8"]) == 2


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "vheatir-speed", "format_version": 2}', '{"format": 1}'])
def test_damaged_files_of_training_speed_are_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "training.json"
    path.write_text(text)
    with pytest.raises(SpeedFileError, match=re.escape(str(path))):
        TRAIN_SPEED_FILE.read(path)


def test_the_optimizer_is_the_one_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Muon moves a matrix by an orthogonal one, AdamW by the signs of its gradient at first."""
    moves = {}
    for name in ("Muon", "AdamW"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = VHeatIR(in_chans=3, embed_dim=32, depths=(1,))
        nn.init.constant_(network.conv_last.weight, 0.1)  # zeros give the other layers no gradient
        row = NetworkRow("", partial(nn.Module.train, network))
        monkeypatch.setattr("vheatir.speed.training.ROWS", {"fast": row})
        before = {key: value.clone() for key, value in network.state_dict().items()}
        training_step("fast", training_plan(optimizer=name))()
        moves[name] = {key: value - before[key] for key, value in network.state_dict().items()}
    different = [key for key, move in moves["Muon"].items() if not torch.allclose(move, moves["AdamW"][key], atol=1e-6)]
    assert different
    assert all(moves["Muon"][key].ndim >= 2 for key in different)
