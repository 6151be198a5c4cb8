"""The U-Net example at toy size: it learns, what it prints is what it found, and its files say what it says."""

from __future__ import annotations

import importlib
import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastprep as fp
from fastprep.segment import as_segmenter

ROOT = Path(__file__).resolve().parents[1]
torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def example() -> Any:
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        # Tensors this small wait for threads longer than they compute.
        torch.set_num_threads(1)
        yield importlib.import_module("train_lung_unet")
    torch.set_num_threads(threads)
    fp.set_num_threads(None)


@pytest.fixture(scope="module")
def trained(example: Any) -> Any:
    prepare = example.pipeline(32, 11.25)
    x, y = example.arrays(example.phantoms(range(8), (64, 64), (5.6, 5.6)), prepare)
    model, losses = example.train(x, y, epochs=14, batch=2, width=4, levels=3, log=lambda _: None)
    return prepare, x, y, model, losses


def test_shapes(example: Any, trained: Any) -> None:
    _, x, y, model, _ = trained
    assert x.shape == y.shape == (8, 1, 32, 32) and x.dtype == y.dtype == torch.float32
    assert set(y.unique().tolist()) == {0.0, 1.0}
    assert model(x).shape == y.shape and model(x[:, :, :16, :24]).shape == (8, 1, 16, 24)
    assert sum(p.numel() for p in example.UNet().parameters()) < 1_000_000


def test_it_learns(example: Any, trained: Any) -> None:
    prepare, _, y, model, losses = trained
    assert losses[-1] < 0.6 * losses[0] and all(map(math.isfinite, losses))
    held_out = example.phantoms(range(10_000, 10_003), (64, 64), (5.6, 5.6))
    net = as_segmenter(model, prepare=prepare, activation="sigmoid")
    maskers = {"net": net, **example.baselines(y, prepare)}
    results = {name: example.judge(masker, held_out) for name, masker in maskers.items()}
    assert np.mean(results["net"]["dice"]) > np.mean(results["below Otsu's threshold"]["dice"])
    assert results["empty mask"]["dice"] == [0.0] * 3 and results["empty mask"]["mean"] == [math.inf] * 3
    text = example.table(results)
    assert f"| net | {np.mean(results['net']['dice']):.3f} | {min(results['net']['dice']):.3f} |" in text
    assert "| empty mask | 0.000 | 0.000 | none found |" in text


def test_a_seed_is_a_model(example: Any, trained: Any) -> None:
    _, x, y, _, _ = trained
    how = {"epochs": 1, "width": 2, "levels": 2, "log": lambda _: None}
    one, two, three = (example.train(x, y, seed=seed, **how)[0] for seed in (1, 1, 2))
    first, second, third = (as_segmenter(m).identity["sha256"] for m in (one, two, three))
    assert first == second != third


@pytest.mark.parametrize("name", ["lungs.onnx", "lungs.pt"])
def test_files(example: Any, trained: Any, tmp_path: Path, name: str) -> None:
    if name.endswith("onnx"):
        for module in ("onnx", "onnxruntime"):
            pytest.importorskip(module)
    prepare, _, _, model, _ = trained
    write = example.write_onnx if name.endswith("onnx") else example.write_torch
    write(model, tmp_path / name, side=32)
    image = example.phantoms([20_000], (64, 64), (5.6, 5.6))[0].image
    how = {"prepare": prepare, "activation": "sigmoid"}
    saved, own = (as_segmenter(m, **how) for m in (tmp_path / name, model))
    differ = saved(image).array != own(image).array
    assert differ.mean() < 1e-3 and own(image).array.any()


def test_command(example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(example, "TRAINING", range(4))
    monkeypatch.setattr(example, "HELD_OUT", range(10_000, 10_002))
    monkeypatch.setattr(example, "SHAPE", (64, 64))
    monkeypatch.setattr(example, "SPACING", (5.6, 5.6))
    out = tmp_path / "figures.json"
    example.main(["--epochs", "1", "--threads", "1", "--json", str(out), "--torch", str(tmp_path / "net.pt")])
    said = capsys.readouterr().out
    assert "An example on phantoms, never clinical." in said and "net.pt: Dice of its masks" in said
    figures = json.loads(out.read_text())
    assert figures["title"] == example.TITLE and len(figures["losses"]) == 1
    assert set(figures["results"]) >= {"empty mask", "mean training mask", "below Otsu's threshold"}
