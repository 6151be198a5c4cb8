"""CLAHE and the denoisers as steps: each is its function, and the record tells what was chosen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fastprep as fp
from fastprep import Grid, Image, Pipeline
from fastprep.core.errors import ConfigError
from fastprep.pipeline import Bilateral, Clahe, DenoiseNlm, DenoiseTv, GivenMask, Median, Resize, Window
from fastprep.pipeline.run import Run
from fastprep.testing.assertions import to_numpy

GRID = Grid.from_spacing((40, 52), (0.5, 0.5))
RNG = np.random.default_rng(5)
WAVE = 2000 + 600 * np.sin(np.indices(GRID.shape).sum(axis=0) / 9) + 40 * RNG.standard_normal(GRID.shape)
SCAN = Image(WAVE.astype(np.uint16), GRID)
MASK = np.zeros(GRID.shape, np.uint8)
MASK[5:30, 8:45] = 1
FLOAT = {"dtype": "float32"}
STEPS = {
    "clahe": (Clahe(clip_limit=3, tiles=(4, 5), bins=128), {"clip_limit": 3, "tiles": (4, 5), "bins": 128, **FLOAT}),
    "multiscale_clahe": (Clahe(tiles=4, scales=(0.5, 1)), {"tiles": 4, "scales": (0.5, 1), **FLOAT}),
    "denoise_nlm": (DenoiseNlm(sigma=40.0, distance=2), {"sigma": 40.0, "distance": 2}),
    "denoise_tv": (DenoiseTv(weight=30.0, iterations=7), {"weight": 30.0, "iterations": 7}),
    "median": (Median(size=(3, 5)), {"size": (3, 5), **FLOAT}),
    "bilateral": (Bilateral(sigma_value=100.0, sigma_space=0.7), {"sigma_value": 100.0, "sigma_space": 0.7}),
}


@pytest.mark.parametrize("name", STEPS)
def test_step_is_its_function(name, put):
    step, how = STEPS[name]
    scan = replace(SCAN, array=put(SCAN.array))
    pipeline = Pipeline([step])
    result, wanted = pipeline(scan), getattr(fp, name)(scan, **how)
    assert to_numpy(result.array).dtype == np.float32
    assert np.array_equal(to_numpy(result.array), to_numpy(wanted.array))
    assert not np.array_equal(to_numpy(result.array), SCAN.array)
    assert Pipeline.from_yaml(pipeline.to_yaml()) == pipeline
    (barrier,) = pipeline.plan(GRID).passes
    assert step.name in barrier.describe()
    labels = Image(put(MASK), GRID, kind="label")
    assert np.array_equal(to_numpy(pipeline(labels).array), MASK)


def test_passes_around_a_barrier():
    pipeline = Pipeline([Window(level=2000, width=1600), Clahe(value_range=(0, 1)), Resize(shape=(32, 32))])
    assert len(pipeline.plan(GRID).passes) == 3
    result = pipeline(SCAN).array
    seen = fp.clahe(fp.window(SCAN.array, 2000, 1600), value_range=(0, 1))
    wanted = fp.resize(SCAN.with_array(seen), (32, 32)).array
    assert np.abs(result - wanted).max() < 1e-6 and result.min() == 0 and result.max() <= 1


def test_mask_that_was_found():
    result = Pipeline([GivenMask(), Clahe(mask="found")])(SCAN, mask=MASK).array
    assert np.array_equal(result, fp.clahe(SCAN.array, mask=MASK, dtype="float32"))
    assert np.array_equal(result[MASK == 0], SCAN.array[MASK == 0])


def test_adaptive_parameters_are_told():
    pipeline = Pipeline([Clahe(adaptive=True)])
    run = Run()
    result = pipeline.plan(GRID)(SCAN.array, run=run)
    chosen = fp.clahe_parameters(SCAN)
    assert run.found == [
        {"step": "clahe", "clip_limit": chosen.clip_limit, "tiles": list(chosen.tiles), "why": chosen.why}
    ]
    wanted = fp.clahe(SCAN.array, clip_limit=chosen.clip_limit, tiles=chosen.tiles, dtype="float32")
    assert np.array_equal(result, wanted)


@pytest.mark.parametrize(
    "form",
    [
        {"clahe": {"clip_limit": -1}},
        {"clahe": {"tiles": 0}},
        {"clahe": {"bins": 1}},
        {"clahe": {"value_range": [1, 0]}},
        {"clahe": {"scales": []}},
        {"clahe": {"mask": "lungs"}},
        {"denoise_nlm": {"patch": 4}},
        {"denoise_nlm": {"h": 0}},
        {"denoise_tv": {"weight": 0}},
        {"denoise_tv": {"iterations": 0}},
        {"median": {"size": 2}},
        {"median": {"mask": "foreground"}},
        {"bilateral": {}},
        {"bilateral": {"sigma_value": -1}},
        {"resize": {"shape": [0, 5]}},
        {"resize": {"shape": [5, 5], "keep_aspect": 1}},
    ],
)
def test_bad_values(form):
    with pytest.raises(ConfigError, match="step 1: "):
        Pipeline.from_dict({"steps": [form]})
