from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader
from training_options import TINY_NETWORK, model_options, write_photos

from vheatir.data.dataset import DegradedImageDataset
from vheatir.nn import VHeatIR, network_arguments
from vheatir.training.checkpoint import read_tensors
from vheatir.training.random_state import get_random_state, set_random_state
from vheatir.training.restoration_model import RestorationModel
from vheatir.weights.file import save_weights


def make_model(root: Path, **changes: Any) -> Any:
    torch.manual_seed(0)
    model = RestorationModel(model_options(root, **changes))
    wake_up(model.net_g)
    model.model_ema(0)
    return model


def wake_up(net: nn.Module) -> None:
    """The last convolution starts at zero, which hides everything before it."""
    nn.init.normal_(net.get_parameter("conv_last.weight"), std=0.02)


def make_batch(size: int = 5, side: int = 16, channels: int = 1) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    clean = torch.rand(size, channels, side, side, generator=generator)
    level = torch.rand(size, generator=generator) / 5
    noise = torch.randn(clean.shape, generator=generator) * level[:, None, None, None]
    return {"lq": clean + noise, "gt": clean, "level": level}


def step(model: Any, batch: dict[str, Any]) -> None:
    model.feed_data(batch)
    model.optimize_parameters(1)


def gradients(model: Any) -> Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in model.net_g.parameters() if parameter.grad is not None])


def weights(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


# One step


@pytest.mark.parametrize("accumulate", [2, 3, 5, 9])
def test_accumulation_equals_the_whole_batch(tmp_path: Path, accumulate: int) -> None:
    """Also where the parts are of different sizes: 5 = 3 + 2 = 2 + 2 + 1."""
    whole, parts = make_model(tmp_path), make_model(tmp_path, train__accumulate=accumulate)
    step(whole, make_batch())
    step(parts, make_batch())
    assert gradients(whole).abs().max() > 1e-4
    torch.testing.assert_close(gradients(parts), gradients(whole), rtol=1e-4, atol=1e-7)
    assert parts.log_dict["l_pix"] == pytest.approx(whole.log_dict["l_pix"], rel=1e-5)


def test_accumulation_makes_one_step(tmp_path: Path) -> None:
    model = make_model(tmp_path, train__accumulate=3)
    sizes = []
    model.net_g.register_forward_pre_hook(lambda _net, inputs: sizes.append(len(inputs[0])))
    step(model, make_batch(6))
    assert sizes == [2, 2, 2]
    assert all(state["step"] == 1 for state in model.optimizer_g.state.values())


def test_gradient_clipping_bounds_the_step(tmp_path: Path) -> None:
    free, clipped = make_model(tmp_path), make_model(tmp_path, train__grad_clip=1e-3)
    step(free, make_batch())
    step(clipped, make_batch())
    assert gradients(free).norm() > 1e-2
    assert gradients(clipped).norm() == pytest.approx(1e-3, rel=1e-3)
    direction = gradients(free) / gradients(free).norm()
    torch.testing.assert_close(gradients(clipped) / 1e-3, direction, rtol=1e-3, atol=1e-5)


def test_gradients_below_the_bound_stay(tmp_path: Path) -> None:
    free, clipped = make_model(tmp_path), make_model(tmp_path, train__grad_clip=1e3)
    step(free, make_batch())
    step(clipped, make_batch())
    assert torch.equal(gradients(free), gradients(clipped))


@pytest.mark.parametrize(("iteration", "decay"), [(1, 0.1), (3, 0.25), (1000, 0.75)])
def test_moving_average(tmp_path: Path, iteration: int, decay: float) -> None:
    """The memory grows from one step in ten to the option's: the random start is soon forgotten."""
    model = make_model(tmp_path, train__ema_decay=0.75)
    before = weights(model.net_g_ema)
    model.feed_data(make_batch())
    model.optimize_parameters(iteration)
    after = weights(model.net_g)
    for name, average in model.net_g_ema.state_dict().items():
        torch.testing.assert_close(average, decay * before[name] + (1 - decay) * after[name])
    assert not torch.equal(after["conv_last.weight"], before["conv_last.weight"])


def test_loss_is_charbonniers(tmp_path: Path) -> None:
    model, batch = make_model(tmp_path), make_batch()
    with torch.no_grad():
        restored = model.net_g(batch["lq"], batch["level"])
    step(model, batch)
    expected = ((restored - batch["gt"]).square() + 1e-9).sqrt().mean()
    assert model.log_dict["l_pix"] == pytest.approx(float(expected), rel=1e-5)


def test_bfloat16(tmp_path: Path) -> None:
    """The network computes in bfloat16; weights, gradients and loss stay in float32, and are nearly the same."""
    exact, model = make_model(tmp_path), make_model(tmp_path, train__precision="bf16")
    seen: list[torch.dtype] = []
    model.net_g.conv_last.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    step(exact, make_batch())
    step(model, make_batch())
    assert seen == [torch.bfloat16]
    assert {parameter.dtype for parameter in model.net_g.parameters()} == {torch.float32}
    difference = (gradients(model) - gradients(exact)).norm() / gradients(exact).norm()
    assert 0 < difference < 0.1
    for _ in range(3):
        step(model, make_batch())
    assert np.isfinite(model.log_dict["l_pix"])


def test_compile_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda module: compiled.append(module))
    model = make_model(tmp_path, train__compile=True)
    assert compiled == [model.net_g]


@pytest.mark.parametrize(("optimizer", "kind"), [("Adam", torch.optim.Adam), ("AdamW", torch.optim.AdamW)])
def test_optimizers(tmp_path: Path, optimizer: str, kind: type[torch.optim.Optimizer]) -> None:
    options = {"type": optimizer, "lr": 0.01, "betas": [0.8, 0.9], "weight_decay": 0.1}
    made = make_model(tmp_path, train__optim_g=options).optimizer_g
    assert type(made) is kind
    (group,) = made.param_groups
    assert group["betas"] == (0.8, 0.9)
    assert group["weight_decay"] == 0.1


def test_schedules_of_steps(tmp_path: Path) -> None:
    model = make_model(tmp_path, train__scheduler={"type": "MultiStepLR", "milestones": [2, 3], "gamma": 0.5})
    rates = []
    for iteration in range(1, 6):
        model.update_learning_rate(iteration)
        step(model, make_batch())
        rates += [group["lr"] for group in model.optimizer_g.param_groups]
    assert rates == pytest.approx([0.01, 0.01, 0.005, 0.0025, 0.0025])
    assert not model.out_of_time


def test_the_last_step_is_foreseen_from_the_pace(tmp_path: Path) -> None:
    """100 steps in one of ten minutes make 1,000; a limit of the steps may come first."""
    for total_iter, expected in ((10**6, 1000), (400, 400)):
        schedule = {"type": "WarmupCosine", "minutes": 10}
        model = make_model(tmp_path, train__scheduler=schedule, train__total_iter=total_iter)
        assert model.last_iteration(1) == total_iter  # nothing is known yet
        model.scheduler.load_state_dict({"iteration": 101, "elapsed": 60.0})
        assert model.last_iteration(101) == expected
        model.scheduler.load_state_dict({"iteration": 101, "elapsed": 601.0})
        assert model.last_iteration(101) == 101


# Validation


def make_validation(root: Path, channels: int = 1) -> DataLoader[dict[str, Any]]:
    write_photos(root / "photos", ("astronaut", "camera"), side=40)
    options = {
        "name": "two photos",
        "phase": "val",
        "dataroot_gt": str(root / "photos"),
        "in_chans": channels,
        "degradation": {"type": "noise", "sigma": 25},
    }
    return DataLoader(DegradedImageDataset(options), batch_size=1)


def psnr(output: Tensor, gt: Tensor) -> float:
    """10 log10(255² / MSE) of images clamped and rounded to 8 bits, over all channels jointly."""
    restored = output.clamp(0, 1).mul(255).round().double()
    return float(10 * torch.log10(255**2 / (restored - gt.mul(255).round().double()).square().mean()))


@pytest.mark.parametrize("channels", [1, 3])
def test_validation_psnr_is_that_of_the_averaged_weights(tmp_path: Path, channels: int) -> None:
    loader = make_validation(tmp_path, channels)
    model = make_model(tmp_path, network_g__in_chans=channels)
    step(model, make_batch(channels=channels))
    with torch.no_grad():
        averaged, latest = (
            np.mean([psnr(net(item["lq"], item["level"]), item["gt"]) for item in loader])
            for net in (model.net_g_ema, model.net_g)
        )
    model.validation(loader, 1, None)
    assert model.metric_results["psnr"] == pytest.approx(averaged, abs=1e-4)
    assert abs(averaged - latest) > 1e-3


def test_validation_changes_nothing(tmp_path: Path) -> None:
    """Training after a validation of the crop's own size: what inference cached must not stop the gradient."""
    unbroken, validated = make_model(tmp_path), make_model(tmp_path)
    loader = make_validation(tmp_path)
    step(unbroken, make_batch(side=40))
    validated.validation(loader, 1, None)
    assert validated.net_g.training
    step(validated, make_batch(side=40))
    expected = unbroken.net_g.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in validated.net_g.state_dict().items())


def test_validation_without_averaging(tmp_path: Path) -> None:
    loader = make_validation(tmp_path)
    model = make_model(tmp_path, train__ema_decay=0.5)
    plain = RestorationModel(model_options(tmp_path, train__ema_decay=0))
    plain.net_g.load_state_dict(model.net_g.state_dict())
    with torch.no_grad():
        expected = np.mean([psnr(plain.net_g(item["lq"], item["level"]), item["gt"]) for item in loader])
    plain.validation(loader, 1, None)
    assert plain.metric_results["psnr"] == pytest.approx(expected, abs=1e-4)
    assert plain.net_g.training


def test_tiled_validation(tmp_path: Path) -> None:
    loader = make_validation(tmp_path)
    tiled = {"val_freq": 4, "save_img": False, "tile": 24, "tile_overlap": 8}
    sizes: list[tuple[int, ...]] = []
    item = next(iter(loader))
    outputs = []
    for model in (make_model(tmp_path, val=tiled), make_model(tmp_path)):
        model.net_g_ema.register_forward_pre_hook(lambda _net, inputs: sizes.append(tuple(inputs[0].shape[-2:])))
        model.feed_data(item)
        model.test()
        outputs.append(model.output)
    assert sizes == [(24, 24)] * 4 + [(40, 40)]
    assert not torch.equal(*outputs)
    assert (outputs[0] - outputs[1]).abs().mean() < 0.2 * (outputs[1] - item["lq"]).abs().mean()


# Weights from files


def trained_model(tmp_path: Path, **changes: Any) -> Any:
    model = make_model(tmp_path, **changes)
    step(model, make_batch())
    model.save(1)
    return model


def test_training_starts_from_both_kinds_of_weights(tmp_path: Path) -> None:
    trained = trained_model(tmp_path)
    model = RestorationModel(model_options(tmp_path, path__pretrain_network_g=str(tmp_path / "models" / "net_g_1.pth")))
    for name in ("net_g", "net_g_ema"):
        expected = getattr(trained, name).state_dict()
        assert all(torch.equal(tensor, expected[key]) for key, tensor in getattr(model, name).state_dict().items())


def test_safetensors_weights(tmp_path: Path) -> None:
    net = VHeatIR(**network_arguments(TINY_NETWORK))
    wake_up(net)
    path = tmp_path / "weights.safetensors"
    save_weights(path, net, name="denoise-gray", ranges={"sigma": (0, 55)}, training={}, licence="CC0-1.0")
    model = RestorationModel(model_options(tmp_path, path__pretrain_network_g=str(path)))
    for name, tensor in model.net_g.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, net.state_dict()[name].half().float())


def test_a_color_model_starts_from_a_gray_one(tmp_path: Path) -> None:
    """Tensors of other shapes keep their random values, the same ones in the averaged weights."""
    gray = trained_model(tmp_path)
    path = str(tmp_path / "models" / "net_g_1.pth")
    options = model_options(tmp_path, network_g__in_chans=3, path__pretrain_network_g=path, path__strict_load_g=False)
    model = RestorationModel(options)
    latest, averaged = model.net_g.state_dict(), model.net_g_ema.state_dict()
    other = {name for name, tensor in latest.items() if tensor.shape != gray.net_g.state_dict()[name].shape}
    assert other == {"conv_first.weight", "conv_last.weight", "conv_last.bias"}
    for name, tensor in latest.items():
        if name in other:
            assert torch.equal(tensor, averaged[name])
        else:
            assert torch.equal(tensor, gray.net_g.state_dict()[name])
            assert torch.equal(averaged[name], gray.net_g_ema.state_dict()[name])


def test_weights_of_another_network_are_named(tmp_path: Path) -> None:
    trained_model(tmp_path)
    path = str(tmp_path / "models" / "net_g_1.pth")
    with pytest.raises(ValueError, match=r"net_g_1\.pth holds the weights of another network than network_g describes"):
        RestorationModel(model_options(tmp_path, network_g__embed_dim=12, path__pretrain_network_g=path))


class Attack:
    """A pickle that would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_unreadable_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth do not exist: change pretrain_network_g"):
        read_tensors(tmp_path / "nowhere.pth", "params")
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("no weights at all, but long enough to be a header")
        with pytest.raises(ValueError, match=rf"{name} is damaged, or neither"):
            read_tensors(tmp_path / name, "params")
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty\.pth is damaged"):
        read_tensors(tmp_path / "empty.pth", "params")
    torch.save({"weights": {}}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth holds neither params_ema nor params"):
        read_tensors(tmp_path / "other.pth", "params_ema")


def test_pickles_are_not_executed(tmp_path: Path) -> None:
    torch.save({"params": Attack(tmp_path / "owned")}, tmp_path / "attack.pth")
    with pytest.raises(ValueError, match=r"attack\.pth is damaged"):
        read_tensors(tmp_path / "attack.pth", "params")
    assert not (tmp_path / "owned").exists()


def test_weights_of_parallel_training_lose_their_prefix(tmp_path: Path) -> None:
    torch.save({"params": {"module.conv.weight": torch.ones(2)}}, tmp_path / "parallel.pth")
    assert list(read_tensors(tmp_path / "parallel.pth", "params_ema")) == ["conv.weight"]


# Training states


def test_training_states_hold_everything_and_nothing_else_is_left(tmp_path: Path) -> None:
    model = trained_model(tmp_path)
    model.save_checkpoint("latest")
    assert [path.name for path in (tmp_path / "training_states").iterdir()] == ["1.state"]
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["net_g_1.pth", "net_g_latest.pth"]
    state = torch.load(tmp_path / "training_states" / "1.state", weights_only=True)
    assert state.keys() == {"epoch", "iter", "optimizers", "schedulers", "random_state"}
    assert state["iter"] == 1


def test_a_failed_save_keeps_the_earlier_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained_model(tmp_path)
    path = tmp_path / "training_states" / "1.state"
    before = path.read_bytes()

    def fail(_state: object, file: Path) -> None:
        Path(file).write_bytes(b"half of it")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        model.save_training_state(1)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["1.state"]


def draws() -> tuple[float, NDArray[np.float64], Tensor]:
    return random.random(), np.random.normal(size=3), torch.randn(3)


def test_resuming_takes_the_random_state_up(tmp_path: Path) -> None:
    model = trained_model(tmp_path)
    first = draws()
    model.resume_training(torch.load(tmp_path / "training_states" / "1.state", weights_only=True))
    again = draws()
    assert first[0] == again[0]
    np.testing.assert_array_equal(first[1], again[1])
    assert torch.equal(first[2], again[2])


def test_random_state_survives_a_file(tmp_path: Path) -> None:
    """An odd number of normal draws leaves NumPy's generator with a cached one."""
    draws()
    torch.save(get_random_state(), tmp_path / "state")
    first = draws()
    draws()
    set_random_state(torch.load(tmp_path / "state", weights_only=True))
    again = draws()
    assert first[0] == again[0]
    np.testing.assert_array_equal(first[1], again[1])
    assert torch.equal(first[2], again[2])
