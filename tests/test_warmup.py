from __future__ import annotations

import importlib

import pytest

import fastprep as fp
from fastprep import registry
from fastprep.pipeline import Pipeline
from fastprep.pipeline.yaml_form import presets

module = importlib.import_module("fastprep.pipeline.warmup")


@pytest.fixture
def ran(monkeypatch) -> set[str]:
    """Names of the kernels that ran."""
    names: set[str] = set()

    def spy(name, x):
        names.add(name)
        return registry.kernel(name, x)

    for page in ("_sample", "_pointwise", "_masked", "foreground_mask", "_bias", "n4"):
        monkeypatch.setattr(f"fastprep.ops.{page}.kernel", spy)
    return names


def test_every_kernel_of_a_pipeline_runs(monkeypatch, ran):
    # The dtypes that other tests have compiled by now.
    monkeypatch.setattr(module, "_SCANS", ("int16",))
    monkeypatch.setattr(module, "_LABELS", ("uint8",))
    told = []
    assert fp.warmup(lambda *what: told.append(what)) > 0
    gathers, barriers = {"take", "resample", "warp", "onehot"}, {"moments", "histogram", "keep", "fill", "n4", "field"}
    assert ran >= {"ramp", "sigmoid", "piecewise", "counts", "percentile"} | gathers | barriers
    jobs, fractions = zip(*told, strict=True)
    assert any(job.startswith("int16 to float16") for job in jobs) and "uint8 labels: resample" in jobs
    assert list(fractions) == sorted(fractions) and fractions[-1] == 1


def test_covers_the_presets():
    assert {Pipeline.load(name).dtype for name in presets()} <= set(module._RESULTS)
    orders = {step.order for name in presets() for step in Pipeline.load(name).steps if hasattr(step, "order")}
    assert orders <= {"nearest", "linear", "cubic"}


@pytest.mark.slow
def test_the_second_time_is_quick(monkeypatch):
    """Of one type of scan: all of them take minutes, and their kernels differ by a type alone."""
    monkeypatch.setattr(module, "_SCANS", ("int16",))
    fp.warmup()
    assert fp.warmup() < 3
