"""The loss that counts decibels."""

from __future__ import annotations

import math

import pytest
import torch
from training_options import training_options

from vheatir.training.losses import PSNRLoss
from vheatir.training.options import OptionError, check_options
from vheatir.training.registry import build


def images(*errors: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch off by a constant in each image, and its target."""
    target = torch.rand(len(errors), 3, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return target + torch.tensor(errors, dtype=torch.float64)[:, None, None, None], target


def test_it_is_minus_the_mean_psnr() -> None:
    """20 dB and 40 dB by hand."""
    loss = PSNRLoss(eps=1e-12)(*images(0.1, 0.01))
    assert loss.item() == pytest.approx(-30, abs=1e-4)
    assert PSNRLoss(loss_weight=0.5, eps=1e-12)(*images(0.1)).item() == pytest.approx(-10, abs=1e-4)


def test_images_weigh_by_their_relative_error() -> None:
    """Half the error has twice the gradient; an error far below eps has hardly any."""
    pred, target = images(0.1, 0.05, 1e-8)
    pred.requires_grad_()
    (gradient,) = torch.autograd.grad(PSNRLoss(eps=1e-6)(pred, target), pred)
    strength = gradient.flatten(1).sum(dim=1)
    assert strength[1] / strength[0] == pytest.approx(2, rel=1e-3)
    assert strength[2] < 2e-3 * strength[0]
    assert strength[0].item() == pytest.approx(20 / math.log(10) / 0.1 / 3, rel=1e-3)


def test_a_perfect_image_has_a_finite_gradient() -> None:
    pred, target = images(0.0)
    pred.requires_grad_()
    (gradient,) = torch.autograd.grad(PSNRLoss()(pred, target), pred)
    assert (gradient == 0).all()


def test_option_files_may_name_it() -> None:
    assert isinstance(build("loss", {"type": "PSNRLoss"}), PSNRLoss)
    check_options(training_options(train__pixel_opt={"type": "PSNRLoss", "loss_weight": 0.02}), is_train=True)
    with pytest.raises(OptionError, match="reduction"):
        check_options(training_options(train__pixel_opt={"type": "PSNRLoss", "reduction": "mean"}), is_train=True)
    with pytest.raises(ValueError, match="eps of more than 0, not 0"):
        PSNRLoss(eps=0)
