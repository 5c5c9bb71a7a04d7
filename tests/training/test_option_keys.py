"""Every key of a network or a degradation that the checks accept can be trained, exported and loaded again."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from training_options import TINY_NETWORK, model_options, training_options, write_options, write_photos

from vheatir.data.dataset import TRAINING_DEGRADATIONS, DegradedImageDataset
from vheatir.nn import VHeatIR, VHeatIRConfig, network_arguments
from vheatir.training.export import export, trained_model
from vheatir.training.options import OptionError, check_options
from vheatir.training.restoration_model import RestorationModel
from vheatir.weights.file import WeightsHeader, load_weights

NOISE: Final = {"type": "noise", "sigma": [5, 40]}
JPEG: Final = {"type": "jpeg", "quality": [10, 95]}
#: for each key a degradation that uses it, and the range of levels that its weights file must name
DEGRADATIONS: Final[dict[str, tuple[dict[str, Any], tuple[float, float]]]] = {
    "noise.sigma": (NOISE, (5, 40)),
    "noise.sigmas": ({"type": "noise", "sigmas": [25, 50, 15]}, (15, 50)),
    "jpeg.quality": (JPEG, (10, 95)),
    "jpeg.log_quality": (JPEG | {"log_quality": True}, (10, 95)),
    "jpeg.double": (JPEG | {"double": 0.5}, (10, 95)),
    "jpeg.subsampling": (JPEG | {"subsampling": ["420", "444"]}, (10, 95)),
    "jpeg.grid_phase": (JPEG | {"grid_phase": True}, (10, 95)),
    "jpeg.studio_swing": (JPEG | {"studio_swing": 0.5}, (10, 95)),
}
#: for each argument of the network a section with another value than its default
NETWORKS: Final[dict[str, dict[str, Any]]] = {
    "in_chans": {"in_chans": 3},
    "embed_dim": {"embed_dim": 12},
    "mixer": {"mixer": "attention"},
    "mlp": {"mlp": "refinement"},
    "depths": {"depths": [2, 1]},
    "mlp_ratio": {"mlp_ratio": 1.5},
    "img_range": {"img_range": 255.0},
    "resi_connection": {"resi_connection": "3conv"},
    "downscale": {"downscale": 1},
    "condition": {"condition": False},
    "gate": {"gate": False},
    "output_norm": {"output_norm": True},
    "frequency_resolution": {"frequency_resolution": 3},
    "heat_ratio": {"heat_ratio": 0.5},
    "spectrum_ratio": {"spectrum_ratio": 0.5},
    "k_min": {"k_min": 0.5},
    "k_max": {"k_max": 50.0},
    "residual_step": {"residual_step": False},
    "content_conductivity": {"content_conductivity": True},
    "level_conductivity": {"level_conductivity": True},
    "window": {"window": 3, "depths": [2]},  # the second block's windows are shifted
    "num_heads": {"mixer": "attention", "num_heads": 2},
    "hcnet_step": {"mixer": "hcnet", "hcnet_step": "learned"},
}


#: a value for every key of the sections optim_g, scheduler and pixel_opt
VALUES: Final[dict[str, Any]] = {
    "lr": 0.02,
    "betas": [0.9, 0.99],
    "eps": 1e-8,
    "weight_decay": 0.01,
    "amsgrad": True,
    "fused": True,
    "momentum": 0.8,
    "minutes": 5,
    "clock": "wall",
    "warmup_iter": 2,
    "floor": 0.5,
    "milestones": [2, 3],
    "gamma": 0.5,
    "restarts": [2],
    "restart_weights": [0.5],
    "periods": [4],
    "eta_min": 0.001,
    "loss_weight": 0.5,
    "reduction": "sum",
}
#: keys whose value depends on another's: one weight a period
TOGETHER: Final = {"CosineAnnealingRestartLR": {"restart_weights": [1]}}
#: for each key of the section train that is no section, another value than that of the other tests
TRAIN: Final[dict[str, Any]] = {
    "ema_decay": 0,
    "total_iter": 20,
    "warmup_iter": 2,
    "precision": "bf16",
    "grad_clip": 0.1,
    "accumulate": 2,
}
SECTIONS: Final = ("optim_g", "scheduler", "pixel_opt")


def accepted(place: str, **changes: Any) -> set[str]:
    """What the checks take where they find an unknown word: keys of a section, or values of a ``type``."""
    options = training_options(**changes | {place: "qqq"})
    with pytest.raises(OptionError) as caught:
        check_options(options, is_train=True)
    return set(str(caught.value).split(": known are ")[1].removesuffix(".").split(", "))


def train_and_export(folder: Path, **changes: Any) -> tuple[Any, VHeatIR, WeightsHeader]:
    """Four steps from a checked option file: the trained model, and the network and header of its weights file."""
    options = training_options(datasets__train__dataroot_gt=str(folder / "photos"), **changes)
    check_options(options, is_train=True)
    write_photos(folder / "photos", ("coffee",), side=40)
    torch.manual_seed(0)
    model = RestorationModel(model_options(folder, **changes))
    dataset = DegradedImageDataset(options["datasets"]["train"] | {"phase": "train"})
    for iteration, batch in enumerate(DataLoader(dataset, sampler=range(16), batch_size=4), 1):
        model.update_learning_rate(iteration)
        model.feed_data(batch)
        model.optimize_parameters(iteration)
    model.save(4)
    file, weights = write_options(folder / "options.yml", options), folder / "model.safetensors"
    export(file, folder / "models" / "net_g_4.pth", weights, licence="CC0-1.0")
    network, header = load_weights(weights)
    assert isinstance(network, VHeatIR)
    return model, network, header


def restored(network: VHeatIR) -> Tensor:
    x = torch.rand(2, network.config.in_chans, 14, 11, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        output: Tensor = network.eval()(x, torch.tensor([0.1, 0.3]))
    return output


def test_the_tables_hold_every_key_that_the_checks_accept() -> None:
    place = "datasets__train__degradation"
    kinds = accepted(f"{place}__type")
    assert TRAINING_DEGRADATIONS.keys() == kinds
    kinds -= {"mixture"}  # for pyramids alone
    keys = {
        f"{kind}.{key}" for kind in kinds for key in accepted(f"{place}__qqq", **{place: {"type": kind}}) - {"type"}
    }
    assert DEGRADATIONS.keys() == keys
    assert NETWORKS.keys() == accepted("network_g__qqq") - {"type"}


@pytest.mark.parametrize("key", DEGRADATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_key_of_a_degradation(tmp_path: Path, key: str, channels: int) -> None:
    degradation, levels = DEGRADATIONS[key]
    assert key.split(".")[1] in degradation
    _, _, header = train_and_export(
        tmp_path,
        datasets__train__degradation=degradation,
        datasets__train__in_chans=channels,
        network_g__in_chans=channels,
    )
    task = "denoise" if degradation["type"] == "noise" else "jpeg"
    assert header.name == f"{task}-{'gray' if channels == 1 else 'color'}"
    assert header.level_range == levels


def test_what_no_task_removes_is_not_exported_as_another() -> None:
    with pytest.raises(OptionError, match="No task of vheatir restore removes rain"):
        trained_model({"in_chans": 1, "degradation": {"type": "rain"}})


@pytest.mark.parametrize("key", NETWORKS)
def test_every_key_of_a_network(tmp_path: Path, key: str) -> None:
    """Every weight learns, and the file rebuilds the network that was trained, not one with a default instead."""
    section = TINY_NETWORK | NETWORKS[key]
    model, network, header = train_and_export(
        tmp_path, network_g=section, datasets__train__in_chans=section["in_chans"], train__optim_g__lr=0.02
    )
    assert header.arch[key] == NETWORKS[key][key] != inspect.signature(VHeatIRConfig).parameters[key].default
    torch.testing.assert_close(restored(network), restored(model.net_g_ema), rtol=0, atol=2e-3)
    torch.manual_seed(0)
    fresh = VHeatIR(**network_arguments(section)).state_dict()
    moved = {name for name, value in model.net_g.state_dict().items() if not torch.equal(value, fresh[name])}
    assert moved >= {name for name, _ in model.net_g.named_parameters()}


def typed_sections() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key of every kind of the sections that a training is made of, with what its kind cannot do without."""
    for place in (f"train__{name}" for name in SECTIONS):
        for kind in sorted(accepted(f"{place}__type")):
            values = VALUES | TOGETHER.get(kind, {})
            section = with_what_is_required(place, {"type": kind}, values)
            for key in sorted(accepted(f"{place}__qqq", **{place: {"type": kind}}) - {"type"}):
                yield f"{place}.{kind}.{key}", section | {key: values[key]}


def with_what_is_required(place: str, section: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    try:
        check_options(training_options(**{place: section}), is_train=True)
    except OptionError as error:
        missing = str(error).removeprefix("Missing key ").split(" in ")[0]
        return with_what_is_required(place, section | {missing: values[missing]}, values)
    return section


TYPED: Final = dict(typed_sections())


@pytest.mark.parametrize("key", TYPED)
def test_every_key_of_a_training(tmp_path: Path, key: str) -> None:
    """The weights learn, and none of them ends as something that is no number."""
    model, network, _ = train_and_export(tmp_path, **{key.split(".")[0]: TYPED[key]})
    assert bool(restored(network).isfinite().all())
    assert bool(model.net_g.get_parameter("conv_last.weight").any())  # they start at zero


@pytest.mark.parametrize("key", TRAIN)
def test_every_other_key_of_a_training(tmp_path: Path, key: str) -> None:
    model, network, _ = train_and_export(tmp_path, **{f"train__{key}": TRAIN[key]})
    trained = model.net_g if key == "ema_decay" else model.net_g_ema  # without an average the last weights are it
    torch.testing.assert_close(restored(network), restored(trained), rtol=0, atol=2e-3)


def test_the_table_of_training_holds_every_key() -> None:
    """But for two: compiling takes a compiler and a minute, and level_weight is for pyramids alone."""
    assert accepted("train__qqq") == {*TRAIN, *SECTIONS, "compile", "level_weight"}
