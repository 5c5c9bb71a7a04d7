"""Peers: that they denoise, in the right units and channel order, and what is refused."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from vheatir.data.degradations import benchmark_noise
from vheatir.evaluation.peers import PEERS, PeerError, make_peer
from vheatir.evaluation.peers.function import load_function

needs_bm3d = pytest.mark.skipif(
    importlib.util.find_spec("bm3d") is None, reason="bm3d, free for non-commercial use alone, is not installed"
)
DENOISERS = [pytest.param("bm3d", marks=needs_bm3d), "nlm", "wavelet", "tv"]
#: dB that every one of them gains on these crops; units that are off by 255, or by a square, gain nothing
GAINS = {10: 1.0, 50: 5.0}

Image = NDArray[np.uint8]


def crop(*, color: bool) -> Image:
    image = data.astronaut()[:64, 150:230] if color else data.camera()[60:124, 180:260]
    return np.ascontiguousarray(image, dtype=np.uint8)


def psnr(restored: NDArray[np.float32], clean: Image) -> float:
    return float(-10 * np.log10(np.mean(np.square(restored.astype(np.float64) - clean / 255))))


@pytest.mark.parametrize("color", [False, True], ids=["gray", "colour"])
@pytest.mark.parametrize("name", DENOISERS)
def test_denoisers_gain_at_weak_and_at_strong_noise(name: str, color: bool) -> None:
    clean, peer = crop(color=color), make_peer(name, task="denoise")
    for sigma, gain in GAINS.items():
        noisy = benchmark_noise(clean, sigma)
        before = noisy.copy()
        restored = peer(noisy, sigma)
        assert restored.shape == clean.shape
        assert restored.dtype == np.float32
        assert psnr(restored, clean) > psnr(noisy, clean) + gain
        assert np.array_equal(noisy, before)


@pytest.mark.parametrize("name", DENOISERS)
def test_denoisers_keep_the_order_of_the_channels(name: str) -> None:
    clean = np.broadcast_to(np.array([200, 120, 40], np.uint8), (32, 32, 3))
    restored = make_peer(name, task="denoise")(benchmark_noise(clean, 15), 15)
    assert np.allclose(restored.mean(axis=(0, 1)) * 255, [200, 120, 40], atol=4)


def test_the_wavelet_peer_restores_images_smaller_than_its_filter() -> None:
    restored = make_peer("wavelet", task="denoise")(np.full((3, 5), 0.5, np.float32), 25)
    assert np.allclose(restored, 0.5, atol=1e-5)


@pytest.mark.parametrize(("task", "title"), [("denoise", "noisy"), ("jpeg", "JPEG")])
def test_identity_is_a_copy(task: str, title: str) -> None:
    peer = make_peer("identity", task=task)  # type: ignore[arg-type]
    image = np.full((4, 5), 1.25, np.float32)
    result = peer(image, 25)
    assert peer.name == title
    assert np.array_equal(result, image)
    assert not np.shares_memory(result, image)


def test_only_what_is_asked_for_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("bm3d", "pywt"):
        monkeypatch.setitem(sys.modules, package, None)
    assert make_peer("nlm", task="denoise").name == "non-local means"
    with pytest.raises(PeerError, match=r"^Peer bm3d needs the package bm3d: pip install 'vheatir\[bm3d\]'\.$"):
        make_peer("bm3d", task="denoise")
    with pytest.raises(PeerError, match=r"^Peer wavelet needs the package pywt: pip install 'vheatir\[peers\]'\.$"):
        make_peer("wavelet", task="denoise")


@pytest.mark.parametrize("name", [name for name in PEERS if name != "identity"])
def test_denoisers_refuse_jpegs(name: str) -> None:
    with pytest.raises(PeerError, match=f"Peer {name} removes Gaussian noise alone"):
        make_peer(name, task="jpeg")


def test_unknown_peers_are_refused_with_the_known_ones() -> None:
    with pytest.raises(PeerError, match="no peer magic; use identity, bm3d, nlm, wavelet, tv or module:function"):
        make_peer("magic", task="denoise")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of a user's own."""
    (tmp_path / "my_peers_for_a_test.py").write_text(
        "import numpy as np\n"
        "def halve(degraded, level):\n    return degraded / 2 + level / 100\n"
        "def enlarge(degraded, level):\n    return np.repeat(degraded, 2, axis=0)\n"
        "def break_(degraded, level):\n    return degraded * np.nan\n"
        "class Holder:\n    @staticmethod\n    def same(degraded, level):\n        return degraded.tolist()\n"
        "number = 3\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "my_peers_for_a_test"


def test_any_function_can_be_a_peer(module: str) -> None:
    image = np.full((2, 3), 0.5, np.float32)
    peer = make_peer(f"{module}:halve", task="jpeg")
    assert peer.name == f"{module}:halve"
    assert np.allclose(peer(image, 10), 0.35)
    nested = make_peer(f"{module}:Holder.same", task="denoise")(image, 10)
    assert nested.dtype == np.float32
    assert np.array_equal(nested, image)


def test_functions_that_return_no_restored_image_are_named(module: str) -> None:
    image = np.zeros((2, 3), np.float32)
    with pytest.raises(PeerError, match=r"enlarge returned shape \(4, 3\) for an image of shape \(2, 3\)"):
        make_peer(f"{module}:enlarge", task="denoise")(image, 10)
    with pytest.raises(PeerError, match="break_ returned values that are not finite"):
        make_peer(f"{module}:break_", task="denoise")(image, 10)


@pytest.mark.parametrize("name", ["no_such_module:f", "{}:absent", "{}:Holder.absent", ":f", "{}:"])
def test_functions_that_cannot_be_imported_are_named(name: str, module: str) -> None:
    with pytest.raises(PeerError, match=r"cannot be imported .*; give module:function"):
        make_peer(name.format(module), task="denoise")


def test_what_cannot_be_called_is_no_peer(module: str) -> None:
    with pytest.raises(PeerError, match="is no function"):
        make_peer(f"{module}:number", task="denoise")


def test_functions_of_the_current_folder_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed command has its own folder on the path, not the current one."""
    (tmp_path / "peer_in_this_folder.py").write_text("def same(degraded, level):\n    return degraded\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != ""])
    assert load_function("peer_in_this_folder:same").name == "peer_in_this_folder:same"
