"""Folders and repositories of the Hugging Face hub, offline."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_weights import save_tiny_weights

import vheatir
from vheatir.evaluation.results import read_results
from vheatir.weights.file import MODELS, ModelName, WeightsError, read_header, save_weights, weights_path

RestorationNetwork = vheatir.RestorationNetwork


@pytest.mark.parametrize("name", ["jpeg-gray", "photo"])
def test_a_folder_gives_back_what_was_saved(tmp_path: Path, name: ModelName) -> None:
    model = vheatir.load_model(save_tiny_weights(tmp_path / "a.safetensors", name))
    folder = tmp_path / "below" / "saved"

    model.save_pretrained(folder)
    (folder / "config.json").write_text('{"embed_dim": 4, "in_chans": 3, "widths": [4]}')  # nobody reads it
    loaded = RestorationNetwork.from_pretrained(folder, dtype=torch.float64)

    assert loaded.header == model.header
    assert not loaded.training
    assert next(loaded.parameters()).dtype == torch.float64
    for key, tensor in model.network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[key], tensor.double()), key
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def test_arguments_that_nobody_knows_are_refused(tmp_path: Path) -> None:
    vheatir.load_model(save_tiny_weights(tmp_path / "a.safetensors", "photo")).save_pretrained(tmp_path)
    with pytest.raises(TypeError, match="embed_dim"):
        RestorationNetwork.from_pretrained(tmp_path, embed_dim=4)  # type: ignore[call-arg]


def test_weights_are_kept_to_the_last_digit_on_demand(tmp_path: Path) -> None:
    model = vheatir.load_model(save_tiny_weights(tmp_path / "a.safetensors", "denoise-gray"))
    model.network.get_parameter("conv_last.bias").data.fill_(1e5)
    with pytest.raises(WeightsError, match=r"conv_last\.bias is not finite in torch\.float16"):
        model.save_pretrained(tmp_path / "half")
    assert list((tmp_path / "half").iterdir()) == []
    model.save_pretrained(tmp_path / "full", dtype=torch.float32)
    assert (load_file(tmp_path / "full" / "model.safetensors")["conv_last.bias"] == 1e5).all()


@pytest.mark.parametrize("name", MODELS)
def test_the_card_is_that_of_the_weights_with_what_the_hub_reads(tmp_path: Path, name: ModelName) -> None:
    hub = pytest.importorskip("huggingface_hub")
    own = weights_path(name).with_suffix(".md").read_text("utf-8")

    vheatir.load_model(name).save_pretrained(tmp_path)

    card = hub.ModelCard.load(tmp_path / "README.md")
    assert isinstance(card.data, hub.ModelCardData)
    assert card.data.library_name == "vheatir"
    assert card.data.pipeline_tag == "image-to-image"
    assert card.data.license == "apache-2.0"
    assert card.data.metrics == (["psnr"] if name == "photo" else ["psnr", "ssim"])
    assert "image-restoration" in card.data.tags
    assert card.text.strip().startswith(own.strip())
    assert 'RestorationNetwork.from_pretrained("OWNER/NAME")' in card.text


@pytest.mark.parametrize("name", MODELS)
def test_the_hub_reads_the_scores_that_were_measured(repository: Path, tmp_path: Path, name: ModelName) -> None:
    hub = pytest.importorskip("huggingface_hub")
    vheatir.load_model(name).save_pretrained(tmp_path)

    data = hub.ModelCard.load(tmp_path / "README.md").data

    expected = {}
    for path in (repository / "docs" / "results").glob("*.json"):
        for result in [] if "speed" in path.name else read_results(path):
            if (
                result.method == "vHeatIR photo"
                if name == "photo"
                else (result.method == "vHeatIR fast" and name == f"{result.task}-{result.channels}")
            ):
                is_both = name == "photo" and result.task == "jpeg"  # such sets are measured in gray and in colour
                shown = f"{result.set}, {'gray' if result.channels == 'gray' else 'RGB'}" if is_both else result.set
                level = f"{'σ' if result.task == 'denoise' else 'q'} {result.level:g}"
                for metric in data.metrics:
                    expected[shown, level, metric] = round(result.means[metric], {"psnr": 2, "ssim": 4}[metric])
    assert len(expected) >= 6
    assert {(e.dataset_name, e.dataset_config, e.metric_type): e.metric_value for e in data.eval_results} == expected
    assert {e.task_type for e in data.eval_results} == {"image-to-image"}
    assert data.model_name == name


def test_a_card_is_kept_through_saving_and_loading(tmp_path: Path) -> None:
    model = vheatir.load_model(save_tiny_weights(tmp_path / "a.safetensors", "photo"))
    assert model.card == ""
    model.save_pretrained(tmp_path / "none")
    assert "trained for sigma 0 to 55 and quality 10 to 95" in (tmp_path / "none" / "README.md").read_text("utf-8")

    model.card = "# Mine, of σ 3\n\n---\n\nPSNR 30 dB\n"
    model.save_pretrained(tmp_path / "first")
    again = RestorationNetwork.from_pretrained(tmp_path / "first")
    again.save_pretrained(tmp_path / "second")

    first, second = ((tmp_path / name / "README.md").read_text("utf-8") for name in ("first", "second"))
    assert first == second
    assert first.count("PSNR 30 dB") == first.count("library_name") == 1
    assert again.card.startswith(model.card)


def test_a_licence_that_is_no_identifier_is_a_name_of_its_own(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    path = tmp_path / "a.safetensors"
    network = vheatir.load_model(save_tiny_weights(path, "jpeg-gray")).network
    assert isinstance(network, vheatir.VHeatIR)
    licence = 'For research: "as is", not for sale'
    save_weights(path, network, name="jpeg-gray", ranges={"quality": (10, 95)}, training={}, licence=licence)
    vheatir.load_model(path).save_pretrained(tmp_path)
    data = hub.ModelCard.load(tmp_path / "README.md").data
    assert (data.license, data.license_name) == ("other", licence)


def test_a_repository_comes_from_the_cache_of_the_hub(tmp_path: Path) -> None:
    """Downloaded earlier, as huggingface_hub lays it out."""
    pytest.importorskip("huggingface_hub")
    cache = tmp_path / "models--owner--name"
    snapshot = cache / "snapshots" / ("0" * 40)
    model = vheatir.load_model(save_tiny_weights(tmp_path / "a.safetensors", "jpeg-color"))
    model.save_pretrained(snapshot)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("0" * 40)

    loaded = RestorationNetwork.from_pretrained("owner/name", cache_dir=tmp_path, local_files_only=True)

    assert loaded.header == model.header
    with pytest.raises(OSError, match="local_files_only"):
        RestorationNetwork.from_pretrained("owner/other", cache_dir=tmp_path, local_files_only=True)


def test_what_is_neither_folder_nor_repository_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for source in (tmp_path / "none", "photo", "a/b/c", "./none"):
        with pytest.raises(WeightsError, match=rf"{re.escape(str(source))} is no folder, and no repository"):
            RestorationNetwork.from_pretrained(source)
    with pytest.raises(WeightsError, match=r"model\.safetensors is neither a weights file"):
        RestorationNetwork.from_pretrained(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsError, match=r'owner/name is no folder; .* pip install "vheatir\[hub\]"'):
        RestorationNetwork.from_pretrained("owner/name")


def test_the_example_of_the_page_runs_as_it_stands(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = re.search(r"```python\n(.*?)```", (repository / "docs" / "huggingface.md").read_text("utf-8"), re.DOTALL)
    assert code is not None
    monkeypatch.chdir(tmp_path)
    exec(compile(code[1], "huggingface.md", "exec"), {})
    assert read_header(tmp_path / "my-denoiser" / "model.safetensors") == read_header(weights_path("denoise-color"))
