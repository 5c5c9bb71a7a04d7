"""What a pretraining learned: A, B and S = -A²(B²)^-1 in a few numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["commutator_norm", "heat_report", "steady_state_matrix", "summary"]


def steady_state_matrix(a: Tensor, b: Tensor) -> Tensor:
    """S = -A²(B²)^-1, with which z_xx + S z_yy = 0 (arXiv 2211.13228).

    Args:
        a: A of dz/dx = A z, shape (C, C).
        b: B of dz/dy = B z, shape (C, C), invertible.
    """
    ratio: Tensor = torch.linalg.solve(b @ b, a @ a, left=False)
    return -ratio


def commutator_norm(a: Tensor, b: Tensor) -> float:
    """|AB - BA| / (|A| |B|), Frobenius norms: 0 where the two equations have a common solution from every start."""
    return float((a @ b - b @ a).norm() / (a.norm() * b.norm()))


@torch.no_grad()
def heat_report(a: Tensor, b: Tensor) -> dict[str, Any]:
    """Norms and eigenvalues, in double precision, as JSON takes them.

    Args:
        a: A, shape (C, C).
        b: B, shape (C, C).

    Returns:
        ``commutator``, as :func:`commutator_norm`; for each of ``A``, ``B`` and ``S`` the Frobenius ``norm`` and the
        ``eigenvalues`` as pairs of real and imaginary part, in ascending order of the real part.
    """
    a, b = a.detach().cpu().double(), b.detach().cpu().double()
    matrices = {"A": a, "B": b, "S": steady_state_matrix(a, b)}
    return {
        "commutator": commutator_norm(a, b),
        **{name: {"norm": float(m.norm()), "eigenvalues": _eigenvalues(m)} for name, m in matrices.items()},
    }


def summary(report: dict[str, Any]) -> str:
    """One line for the log."""
    real = [value for value, _ in report["S"]["eigenvalues"]]
    positive = sum(value > 0 for value in real)
    return (
        f"S = -A²(B²)^-1: norm {report['S']['norm']:.3g}, eigenvalues' real parts {real[0]:.3g} to {real[-1]:.3g}, "
        f"{positive} of {len(real)} positive; |AB - BA| / |A||B| = {report['commutator']:.1e}."
    )


def _eigenvalues(matrix: Tensor) -> list[list[float]]:
    values = sorted(torch.linalg.eigvals(matrix).tolist(), key=lambda value: (value.real, value.imag))
    return [[value.real, value.imag] for value in values]
