"""The quality table at toy size: every corrector is judged, and what is rendered is what was measured."""

from __future__ import annotations

import importlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
pytest.importorskip("skimage")


@pytest.fixture(scope="module")
def quality() -> Any:
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        # Bandwidth is not what is tested, and takes memory.
        module = importlib.import_module("quality_bias")
        patch.setattr(module.h, "copy_bandwidth", lambda *_: 1e9)
        patch.setattr(module.h, "set_threads", lambda _: None)
        yield module


@pytest.fixture(scope="module")
def results(quality: Any) -> Any:
    small = {"shape": (32, 38, 32), "spacing": (5.4, 5.4, 5.4)}
    return quality.run(**small, strengths=(0.4,), seeds=(0, 1), log=lambda _: None)


def test_every_corrector_is_judged(quality: Any, results: Any) -> None:
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    assert [(case["strength"], case["seed"]) for case in results["cases"]] == [(0.4, 0), (0.4, 1)]
    for case in results["cases"]:
        rows = {row["name"]: row for row in case["rows"]}
        assert list(rows) == list(quality.CORRECTORS)
        for name in ("do nothing", "Gaussian", "homomorphic", "polynomial", "N4", "oracle"):
            assert rows[name]["error"] is None, rows[name]
        nothing, n4, oracle = rows["do nothing"], rows["N4"], rows["oracle"]
        assert oracle["mse"] < n4["mse"] < nothing["mse"]
        assert oracle["psnr"] > n4["psnr"] > nothing["psnr"]
        assert oracle["ssim"] > nothing["ssim"]
        assert oracle["correlation"] == pytest.approx(1) and nothing["correlation"] is None


def test_gain_is_not_judged(quality: Any) -> None:
    head = quality.bias_phantom((16, 19, 16), (10.8, 10.8, 10.8))
    one, double = (quality.judge(k * head.clean.array, head.log_field, head) for k in (1, 2))
    assert one == pytest.approx(double, rel=1e-5)
    perfect = quality.judge(3 * head.truth.array, head.log_field, head)
    assert perfect["mse"] < 1e-6 and perfect["ssim"] == pytest.approx(1) and perfect["correlation"] == pytest.approx(1)


def test_table(quality: Any, results: Any) -> None:
    text = quality.render(results)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(quality.CORRECTORS) and len({row.count("|") for row in rows}) == 1
    assert rows[2].startswith("| 0.67 to 1.49 | do nothing |") and rows[-1].startswith("|  | oracle |")
    mse = np.mean([case["rows"][0]["mse"] for case in results["cases"]])
    assert rows[2].split(" | ")[2] == f"{mse:.0f}"
    assert "nan" not in text and "mean of 2 seeds" in text


def test_a_missing_peer_is_a_line(quality: Any, results: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = json.loads(json.dumps(results))
    changed["cases"][1]["rows"][5] = {"name": "SimpleITK N4", "error": "ImportError: no | module"}
    rows = [line for line in quality.render(changed).splitlines() if line.startswith("|")]
    assert "not run: ImportError: no \\| module" in rows[7]
    assert rows[7].replace("\\|", "").count("|") == rows[8].count("|")


def test_readme_has_the_place(quality: Any) -> None:
    readme = (ROOT / "README.md").read_text()
    assert readme.index(quality.BEGIN) < readme.index(quality.END)


def test_every_denoiser_is_judged(quality: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    denoise = importlib.import_module("quality_denoise")
    all_of = denoise.cases
    monkeypatch.setattr(denoise, "cases", lambda *how: all_of(*how)[2:])
    results = denoise.run(plane=(96, 96), seeds=(0,), log=lambda _: None)
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    (case,) = results["cases"]
    rows = {row["name"]: row for row in case["rows"]}
    assert list(rows) == list(denoise.FILTERS)
    nothing, blur, means = (rows[name] for name in ("do nothing", "Gaussian blur", "non-local means"))
    assert nothing["noise"] == 1 and nothing["edges"] == pytest.approx(1, abs=0.02)
    assert means["noise"] < 0.5 and means["psnr"] > nothing["psnr"] and means["edges"] > blur["edges"]
    table = denoise.render(results)
    assert f"| non-local means | {means['psnr']:.2f} |" in table.replace("radiograph, Gaussian, 96x96", "")
