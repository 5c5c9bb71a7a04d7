"""The race of networks: what it plans, that it is fair and goes on, what it reports; receptive fields and costs."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from training_options import training_options, write_photos

from vheatir.cli.main import main
from vheatir.evaluation.environment import Environment, describe_environments
from vheatir.nn import VHeatIR
from vheatir.nn.complexity import count_parameters, image_multiply_adds
from vheatir.research.race.costs import COSTS_FILE, Cost, Costs, costs_markdown, measure_costs
from vheatir.research.race.curve import CURVE_FILE, CompareError, Curve, Point
from vheatir.research.race.figure import line_of, plot_comparison
from vheatir.research.race.plan import Plan, read_plan
from vheatir.research.race.receptive import influence, receptive_sides
from vheatir.research.race.report import markdown
from vheatir.research.race.results import COMPARISON_FILE, Comparison, RunResult
from vheatir.research.race.runner import collect, run_all
from vheatir.speed.timing import Timing
from vheatir.training.options import OptionError

ENVIRONMENT = Environment("A processor", "cpu", 1, "2.13.0", "3.12.3", "0.1.0", "abc1234", "2026-01-31")

# ends the process as a power cut would, right behind the training state of step 2
POWER_CUT = """
import os, sys
from vheatir.research.race import training as race
from vheatir.training.restoration_model import RestorationModel

save = RestorationModel.save_training_state

def save_and_die(model, current_iter):
    save(model, current_iter)
    if current_iter == 2:
        os._exit(9)

RestorationModel.save_training_state = save_and_die
race.main()
"""


def comparison_options(**changes: Any) -> dict[str, Any]:
    """A race of 4 steps between two networks of some hundred weights, validated after every step."""
    common = training_options(train__total_iter=4)
    for key in ("name", "manual_seed", "val", "logger"):
        del common[key]
    for section in common["datasets"].values():
        for key in ("name", "seed", "degradation"):
            section.pop(key, None)
    options: dict[str, Any] = {
        "name": "tiny",
        "entries": {"heat": {"mixer": "heat"}, "none": {"mixer": "identity"}},
        "tasks": {
            "noise": {
                "degradation": {"type": "noise", "sigma": [0, 55]},
                "validate": {
                    "sigma25": {"type": "noise", "sigma": 25},
                    "sigma50": {"type": "noise", "sigma": 50},
                },
            }
        },
        "seeds": [3],
        "validate_every": 0.000001,
        "common": common,
    }
    return options | changes


def write(folder: Path, options: dict[str, Any]) -> Path:
    path = folder / "race.yml"
    path.write_text(yaml.safe_dump(options, sort_keys=False))
    return path


def plan_of(folder: Path, **changes: Any) -> Plan:
    return read_plan(write(folder, comparison_options(**changes)))


# the plan


def test_the_file_of_this_project_is_a_fair_race(repository: Path) -> None:
    """Within a task and a seed, the runs differ in their name and in the mixer, in nothing else."""
    plan = read_plan(repository / "options" / "compare" / "mixers.yml")
    assert list(plan.networks) == ["heat", "attention", "hcnet", "identity"]
    assert plan.minutes is not None
    assert plan.minutes >= 30
    assert plan.clock == "processor"
    validations = set()
    for run in plan.runs:
        options = copy.deepcopy(dict(run.options))
        assert options["network_g"].pop("mixer") == run.entry
        assert options.pop("name") == f"compare_mixers_{run.stem}"
        assert options["manual_seed"] == options["datasets"]["train"]["seed"] == run.seed
        assert options == {key: value for key, value in first_of(plan, run.task, run.seed).items() if key != "name"}
        validations |= {str(dataset["degradation"]) for key, dataset in options["datasets"].items() if key != "train"}
    assert len(validations) == 3
    assert len({run.stem for run in plan.runs}) == len(plan.runs)


def first_of(plan: Plan, task: str, seed: int) -> dict[str, Any]:
    options = next(run.options for run in plan.runs if (run.task, run.seed) == (task, seed))
    first: dict[str, Any] = copy.deepcopy(dict(options))
    del first["network_g"]["mixer"]
    return first


def test_every_entry_runs_on_every_task_with_every_seed(tmp_path: Path) -> None:
    tasks = comparison_options()["tasks"]
    jpeg = {"degradation": {"type": "jpeg", "quality": [10, 90]}, "validate": {"q10": {"type": "jpeg", "quality": 10}}}
    plan = plan_of(tmp_path, seeds=[1, 2, 1], tasks=tasks | {"jpeg": jpeg})
    assert [run.stem for run in plan.runs] == [
        f"{entry}_{task}_{seed}" for seed in (1, 2) for task in ("noise", "jpeg") for entry in ("heat", "none")
    ]
    options = plan.runs[2].options
    assert options["datasets"]["train"]["degradation"] == jpeg["degradation"]
    assert options["datasets"]["val_q10"]["degradation"] == {"type": "jpeg", "quality": 10}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": [1]}, "Unknown key seed in the option file: did you mean seeds?"),
        ({"seeds": []}, "seeds is a list of whole numbers"),
        ({"seeds": [-1]}, "seeds is a list of whole numbers"),
        ({"validate_every": 0}, "validate_every is a number above 0, not 0."),
        ({"name": "a/b"}, "name is made of letters"),
        ({"entries": {}}, "Missing section entries"),
        ({"entries": {"a_b": {}}}, "entries: a name is made of letters, digits, hyphens and points, not a_b."),
        (
            {"entries": {"a": {"mixr": "heat"}}},
            "Entry a, task noise: Unknown key mixr in the section network_g: did you",
        ),
        (
            {"entries": {"a": {"mixer": "het"}}},
            "Entry a, task noise: network_g.mixer is attention, hcnet, heat or identity, not het.",
        ),
        ({"entries": {"a": 5}}, "entries.a is a mapping of the network's arguments to values."),
        ({"tasks": {"noise": {"degradation": {}}}}, "Missing key validate in the section tasks.noise."),
    ],
)
def test_wrong_options_are_named_before_anything_runs(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        plan_of(tmp_path, **change)
    assert str(caught.value).startswith(message)


def test_what_is_filled_in_is_not_given(tmp_path: Path) -> None:
    options = comparison_options()
    options["common"]["datasets"]["train"]["seed"] = 1
    with pytest.raises(OptionError, match=r"common\.datasets\.train\.seed is filled in for every run; take it out\."):
        read_plan(write(tmp_path, options))
    options = comparison_options()
    options["common"]["train"]["scheduler"] = {"type": "MultiStepLR", "milestones": [2]}
    with pytest.raises(OptionError, match="is of type WarmupCosine, whose clock can be stopped"):
        read_plan(write(tmp_path, options))


# the race


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path) -> Path:
    """A folder of photos to train in, the current one, of this process and of those it starts."""
    write_photos(tmp_path / "photos", ("camera", "coffee"), side=40)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(repository))
    return tmp_path


def test_a_race_from_the_option_file_to_the_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trained by the command, both at a time where there are two cores; begun again, nothing is left to do."""
    path = write(folder, comparison_options())
    jobs = min(2, len(os.sched_getaffinity(0)))
    assert main(["race", "-opt", str(path), "--jobs", str(jobs), "--output", "out"]) == 0
    printed = capsys.readouterr().out
    assert printed == (folder / "out" / "tiny.md").read_text("utf-8")
    assert "### noise, validated at sigma50" in printed
    assert "the same number of steps" in printed
    found = COMPARISON_FILE.read(folder / "out" / "tiny.json")
    assert [run.entry for run in found.runs] == ["heat", "none"]
    for run in found.runs:
        points = run.curve.points
        assert [point.iteration for point in points] == [1, 2, 3, 4]
        assert all(before.seconds < after.seconds for before, after in pairwise(points))
        assert all(10 < point.psnr["sigma50"] < point.psnr["sigma25"] < 60 for point in points)
        experiment = folder / "experiments" / f"compare_tiny_{run.entry}_noise_3"
        assert {file.name for file in (experiment / "models").iterdir()} == {"net_g_4.pth", "net_g_latest.pth"}
        assert [file.name for file in (experiment / "training_states").iterdir()] == ["4.state"]
    heat, none = (run.curve for run in found.runs)
    assert heat.parameters > none.parameters
    assert heat.points[-1].psnr != none.points[-1].psnr

    before = (folder / "experiments" / "compare_tiny" / "heat_noise_3.json").stat().st_mtime_ns
    assert main(["race", "-opt", str(path), "--output", "out"]) == 0
    assert (folder / "experiments" / "compare_tiny" / "heat_noise_3.json").stat().st_mtime_ns == before
    changed = comparison_options(entries={"heat": {"mixer": "hcnet"}})
    assert main(["race", "-opt", str(write(folder, changed)), "--output", "out"]) == 2
    assert "heat_noise_3.yml was made from other options: give the comparison another name" in capsys.readouterr().err


def test_a_broken_run_goes_on_and_ends_as_an_unbroken_one(folder: Path) -> None:
    runs = {}
    for name in ("whole", "broken"):
        plan = plan_of(folder, name=name, entries={"heat": {"mixer": "heat"}})
        place = folder / "experiments" / f"compare_{name}"
        if name == "broken":
            place.mkdir(parents=True)
            (run,) = plan.runs
            (place / "heat_noise_3.yml").write_text(yaml.safe_dump(dict(run.options), sort_keys=False))
            files = [str(place / f"heat_noise_3.{suffix}") for suffix in ("yml", "json")]
            cut = subprocess.run([sys.executable, "-c", POWER_CUT, *files, "--every", "1e-6"], check=False)
            assert cut.returncode == 9
            assert [point.iteration for point in CURVE_FILE.read(place / "heat_noise_3.json").points] == [1, 2]
            assert collect(plan, place).missing == ["heat_noise_3"]
        run_all(plan, place, jobs=1, watch=lambda: None)
        runs[name] = collect(plan, place).runs[0].curve
    whole, broken = runs["whole"], runs["broken"]
    assert [point.iteration for point in broken.points] == [1, 2, 3, 4]
    assert [point.psnr for point in broken.points] == [point.psnr for point in whole.points]
    assert broken.finished


def test_a_training_that_fails_is_named_with_its_log(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = comparison_options()
    options["common"]["datasets"]["train"]["dataroot_gt"] = "nowhere"
    assert main(["race", "-opt", str(write(folder, options))]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: The training heat_noise_3 failed: The image folder nowhere does not exist")
    assert error.endswith("heat_noise_3.log.")
    assert not (folder / "experiments" / "compare_tiny" / "none_noise_3.log").exists()  # the next one is not begun


def test_more_jobs_than_cores_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 1}, raising=False)
    with pytest.raises(CompareError, match="--jobs is at most the number of cores that may be used, 2, not 3"):
        run_all(plan_of(tmp_path), tmp_path / "race", jobs=3, watch=lambda: None)


# files and tables


def curve(*psnr: float, parameters: int = 100_000, finished: bool = True) -> Curve:
    """A validation a minute."""
    points = [Point(100 * minute, 60.0 * minute, {"sigma25": value}) for minute, value in enumerate(psnr, 1)]
    return Curve(parameters, ENVIRONMENT, tuple(points), finished=finished)


def comparison() -> Comparison:
    runs = [
        RunResult("heat", "noise", 0, curve(28.0, 29.0, 29.5, 30.0)),
        RunResult("none", "noise", 0, curve(28.5, 28.6, 28.7, 29.75, parameters=90_000)),
        RunResult("heat", "noise", 1, curve(28.2, 29.2, 29.6, 30.2)),
        RunResult("none", "noise", 1, curve(28.1, 28.8, 28.9, 30.25, parameters=90_000)),
    ]
    return Comparison("race", 4.0, 60.0, runs, missing=["heat_noise_2"], clock="processor")


def test_files_come_back_as_they_were(tmp_path: Path) -> None:
    CURVE_FILE.write(tmp_path / "curve.json", curve(28.0, 29.0))
    assert CURVE_FILE.read(tmp_path / "curve.json") == curve(28.0, 29.0)
    COMPARISON_FILE.write(tmp_path / "race.json", comparison())
    assert COMPARISON_FILE.read(tmp_path / "race.json") == replace(comparison(), runs=list(comparison().runs))
    with pytest.raises(CompareError, match=r"curve\.json is not a comparison file"):
        COMPARISON_FILE.read(tmp_path / "curve.json")
    content = json.loads((tmp_path / "race.json").read_text("utf-8"))
    del content["runs"][0]["curve"]["parameters"]
    (tmp_path / "race.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(CompareError, match=r"race\.json is damaged \(ValidationError: .*parameters.*; run it again"):
        COMPARISON_FILE.read(tmp_path / "race.json")


def test_the_table_holds_means_ranges_and_paired_differences() -> None:
    """At the minutes nearest to 1/3 and 2/3 of 4, at the end; differences seed by seed: -0.25 and +0.05, mean -0.10."""
    lines = markdown(comparison()).splitlines()
    assert (
        "| `heat` | 0.100 M | 0, 1 | 400 | 240 | 28.10 (28.00 – 28.20) | 29.55 (29.50 – 29.60) "
        "| 30.10 (30.00 – 30.20) |  |" in lines
    )
    assert (
        "| `none` | 0.090 M | 0, 1 | 400 | 240 | 28.30 (28.10 – 28.50) | 28.80 (28.70 – 28.90) | 30.00 (29.75 – 30.25) "
        "| -0.10 (-0.25 – +0.05) |" in lines
    )
    assert "Not finished, and not in the tables: heat_noise_2." in lines
    fewer = markdown(replace(comparison(), runs=comparison().runs[:3])).splitlines()
    assert "| `none` | 0.090 M | 0 | 400 | 240 | 28.50 | 28.70 | 29.75 | -0.25 |" in fewer
    assert f"Machine: {ENVIRONMENT}." in lines
    assert any(line.startswith("Every training had 4 minutes of processor time (") for line in lines)
    walled = replace(comparison(), clock="wall")
    assert "Every training had 4 minutes of training (" in markdown(walled)
    assert markdown(Comparison("race", 4.0, 60.0, [], missing=[], clock="wall")) == "No training is finished yet.\n"


def test_what_differs_in_commit_and_date_alone_is_one_machine() -> None:
    later = replace(ENVIRONMENT, commit="def5678", date="2026-02-02")
    other = replace(ENVIRONMENT, threads=2, commit=None)
    common = "A processor, {}, torch 2.13.0, Python 3.12.3, vheatir 0.1.0"
    assert describe_environments([later, ENVIRONMENT, other, later]) == [
        common.format("1 thread") + " at def5678, abc1234, 2026-01-31 to 2026-02-02",
        common.format("2 threads") + ", 2026-01-31",
    ]


def test_a_curve_is_cut_where_training_goes_on() -> None:
    assert curve(28.0, 29.0, 30.0).until(200) == curve(28.0, 29.0)
    assert curve(28.0).with_point(Point(200, 120.0, {"sigma25": 29.0}), finished=True) == curve(28.0, 29.0)


def test_a_line_joins_validations_of_the_same_time() -> None:
    """One seed validated every minute, the other every two: 1.9 s late at first."""
    rare = (Point(200, 121.9, {"sigma25": 29.4}), Point(400, 240.0, {"sigma25": 30.2}))
    runs = [
        RunResult("heat", "noise", 0, curve(28.0, 29.0, 29.5, 30.0)),
        RunResult("heat", "noise", 1, replace(curve(28.0), points=rare)),
    ]
    line = line_of(runs, "sigma25")
    assert line.x == pytest.approx([(120 + 121.9) / 120, 4])
    assert line.y == pytest.approx([29.2, 30.1])
    assert line.low == pytest.approx([29.0, 30.0])


def test_the_figure_shows_the_mean_and_the_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure_module = pytest.importorskip("matplotlib.figure", reason="plots need matplotlib")
    saved: list[Any] = []

    def keep(figure: Any, path: Path, **_options: object) -> None:
        path.write_bytes(b"figure")
        saved.append(figure)

    monkeypatch.setattr(figure_module.Figure, "savefig", keep)
    assert plot_comparison(comparison(), tmp_path) == [tmp_path / "race_noise.png"]
    (axes,) = saved[0].axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert lines["heat"].get_xdata() == pytest.approx([1, 2, 3, 4])  # minutes
    assert lines["none"].get_ydata() == pytest.approx([28.3, 28.7, 28.8, 30.0])
    band = axes.collections[1].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(28.1)
    assert band[:, 1].max() == pytest.approx(30.25)
    plot_comparison(replace(comparison(), runs=comparison().runs[:3]), tmp_path)
    titles = [figure.get_suptitle() for figure in saved]
    assert titles == ["race, noise: mean of 2 seeds, and range", "race, noise: mean of 1 to 2 seeds, and range"]


# the command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-opt", "absent.yml"], "The option file absent.yml does not exist."),
        (["-opt", "absent.yml", "--jobs", "0"], "--jobs and --threads are 1 or more"),
    ],
)
def test_wrong_commands_are_one_sentence(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["race", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


# receptive fields and costs


class Filter(nn.Module):
    """Adds a fixed filter's answer to the image, as a restoration network adds its residual."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        assert level.shape == (x.shape[0],)
        return x + nn.functional.conv2d(x, self.weight[None, None], padding=self.weight.shape[-1] // 2)


def test_the_influence_of_a_filter_is_its_weights() -> None:
    weight = torch.tensor([[0.0, -1.0, 0.0], [2.0, 5.0, 0.0], [0.0, 0.0, 0.5]])
    found = influence(Filter(weight), 1, 9)
    expected = torch.zeros(9, 9, dtype=torch.float64)
    expected[3:6, 3:6] = 4 * weight.abs()  # four images
    torch.testing.assert_close(found, expected)


def test_receptive_sides_are_squares_that_hold_a_share() -> None:
    """60 at the centre, 30 on the ring around it, 10 on the third ring."""
    field = torch.zeros(11, 11, dtype=torch.float64)
    field[5, 5], field[4, 5], field[6, 6], field[8, 5] = 60, 20, 10, 10
    assert receptive_sides(field, (0.5, 0.6, 0.61, 0.9, 0.91, 1.0)) == [1, 1, 3, 3, 7, 7]


def test_a_network_without_mixing_looks_as_far_as_its_convolutions() -> None:
    """First, last, one depthwise, one closing a group, one after the body: radius 5, at half resolution 10 or 11."""
    torch.manual_seed(0)
    network = VHeatIR(embed_dim=8, depths=(1,), mixer="identity")
    nn.init.normal_(network.conv_last.weight)
    (side,) = receptive_sides(influence(network, 1, 48), (1.0,))
    assert side in (21, 23)
    heat = VHeatIR(embed_dim=8, depths=(1,), mixer="heat")
    nn.init.normal_(heat.conv_last.weight)
    assert receptive_sides(influence(heat, 1, 48), (1.0,))[0] >= 47


def test_costs_are_measured_entry_by_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vheatir.research.race.costs._ROUNDS", 1)
    monkeypatch.setattr("vheatir.research.race.costs._SHORTEST", 0.0)
    networks = {
        "none": {"in_chans": 1, "embed_dim": 8, "depths": [1], "mixer": "identity"},
        "heat": {"in_chans": 1, "embed_dim": 8, "depths": [1], "mixer": "heat"},
    }
    trained = VHeatIR(**networks["heat"])  # type: ignore[arg-type]
    nn.init.zeros_(trained.conv_last.weight)
    trained.conv_last.weight.data[:, :, 1, 1] = 1
    torch.save({"params_ema": trained.state_dict()}, tmp_path / "heat.pth")
    measured = measure_costs(networks, {"heat": tmp_path / "heat.pth"}, size=32)
    none, heat = measured.costs
    assert (none.entry, none.trained, heat.entry, heat.trained) == ("none", False, "heat", True)
    assert heat.parameters == count_parameters(trained) > none.parameters
    assert heat.multiply_adds_per_pixel == image_multiply_adds(trained, 32, 32) / 1024
    assert none.receptive[-1] < 25
    assert none.receptive[0] <= none.receptive[1] <= none.receptive[2]
    assert none.peak_bytes is not None
    COSTS_FILE.write(tmp_path / "costs.json", measured)
    again = COSTS_FILE.read(tmp_path / "costs.json")
    assert costs_markdown(again) == costs_markdown(measured)


def test_the_table_of_costs() -> None:
    cost = Cost("heat", 262_000, 83_300.0, Timing((0.1, 0.2, 0.3)), 55 * 10**6, trained=True, receptive=(3, 17, 101))
    assert (
        "| `heat` | 0.262 M | 83.3 k | 3.20 | 55 | 3 / 17 / 101 | trained |"  # 0.2 s for a sixteenth of a megapixel
        in costs_markdown(Costs(250, ENVIRONMENT, [cost])).splitlines()
    )
