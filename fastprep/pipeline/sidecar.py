"""Sidecar: what was done to a scan, beside the output, so that it can be repeated, checked and undone.

Plain JSON: no NaN tokens, keys in a fixed order, nothing that names a patient or a machine. ``Pipeline.inverse``
takes it as its record.
"""

from __future__ import annotations

import json
import math
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.pipeline.fills import told
from fastprep.pipeline.fused import FusedPlan, FusedRun
from fastprep.pipeline.passes import Pass
from fastprep.pipeline.pipeline import Pipeline
from fastprep.pipeline.plan import Plan
from fastprep.pipeline.run import Finding, Run
from fastprep.pipeline.statistics import Limits, Statistics

#: Raised when a key changes its meaning or goes away.
FORMAT = 1
#: The distributions CuPy comes as.
_CUPY = ("cupy-cuda12x", "cupy-cuda13x")
#: Air below a window is most of many scans; nearly all voxels beyond it, or half of them above, is a mistake.
_DOUBTFUL = 0.99
# JSON escapes line breaks in strings, so this meets no text.
_NUMBERS = re.compile(r"\[\n\s+[-\d.eE+]+(,\n\s+[-\d.eE+]+)*\n\s+\]")


def sidecar(
    *,
    pipeline: Pipeline,
    plan: Plan,
    run: Run,
    before: Image,
    after: Image,
    sources: Sequence[Mapping[str, Any]],
    scan: Mapping[str, Any],
    limits: Sequence[Limits],
    statistics: tuple[Statistics, Statistics],
    warnings: Iterable[str],
    seconds: Mapping[str, float],
    threads: int,
    packages: Sequence[str],
    looked: Sequence[Finding] = (),
    fitted_on: Mapping[str, Any] | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """The record of one output.

    Parameters
    ----------
    looked : what the steps in front found on the scan.
    run : of the call of ``plan``: what its barriers found.
    before : the scan as read; its values may be stored ones with ``rescale`` pending.
    after : the output.
    sources : name, size and SHA-256 of each input.
    scan : what the reader tells of the scan, without identity.
    limits : per channel, the physical values between which nothing saturates (``statistics.unclipped``).
    statistics : of ``before.array`` counted against ``limits`` in its stored units, and of ``after.array``.
    device : name of the GPU that computed, None for the CPU.
    packages : distributions besides the core's whose versions matter.
    fitted_on : what is known of the cases the pipeline was fitted on, None where nothing in it is learned.
    """
    clipped = _clipped(before, limits, statistics[0])
    record = {
        "format": FORMAT,
        "sources": list(sources),
        "scan": dict(scan),
        **_made_by(pipeline),
        **({} if fitted_on is None else {"fitted_on": dict(fitted_on)}),
        **({"looked": list(looked)} if looked else {}),
        "plan": str(plan).splitlines(),
        "barriers": run.found,
        "grid": {"before": grid_form(before.grid), "after": grid_form(after.grid)},
        "shape": {"before": list(before.array.shape), "after": list(after.array.shape)},
        "dtype": {"before": str(before.array.dtype), "after": str(after.array.dtype)},
        "kind": after.kind,
        "fill": {"physical": before.default_fill, "output": _fill(plan, run)},
        "intensity": {
            "before": statistics[0].to_dict(before.rescale),
            "after": statistics[1].to_dict(),
            "clipped": clipped,
        },
        "warnings": list(dict.fromkeys([*warnings, *_doubts(clipped)])),
        "seconds": {name: round(value, 6) for name, value in seconds.items()},
        "threads": threads,
        "device": device or "cpu",
        "versions": versions((*packages, *(_CUPY if device else ()))),
    }
    return plain(record)


def fused_sidecar(
    *,
    pipeline: Pipeline,
    plan: FusedPlan,
    run: FusedRun,
    before: Mapping[str, Image],
    after: Image,
    sources: Mapping[str, Mapping[str, Any]],
    scans: Mapping[str, Mapping[str, Any]],
    statistics: tuple[Mapping[str, Statistics], Statistics],
    warnings: Iterable[str],
    seconds: Mapping[str, float],
    threads: int,
    packages: Sequence[str],
    fitted_on: Mapping[str, Mapping[str, Any] | None],
    device: str | None = None,
) -> dict[str, Any]:
    """The record of one output of several sequences: as `sidecar`, with what is of one sequence under its name.

    ``grid`` is that of the sequence the others came to lie on, before and after: `Pipeline.inverse` leads back to it.
    """
    target = before[plan.fuse.target]
    sequences = {
        name: {
            "source": dict(sources[name]),
            "scan": dict(scans[name]),
            "grid": grid_form(image.grid),
            "shape": list(image.array.shape),
            "dtype": str(image.array.dtype),
            "intensity": statistics[0][name].to_dict(image.rescale),
            "barriers": run.of(name).found,
            "fill": _fill(plan.plans[name], run.of(name)),
            **({} if fitted_on[name] is None else {"fitted_on": fitted_on[name]}),
        }
        for name, image in before.items()
    }
    record = {
        "format": FORMAT,
        "sources": [dict(sources[name]) for name in before],
        "sequences": sequences,
        **_made_by(pipeline),
        "plan": str(plan).splitlines(),
        "fuse": {"method": plan.fuse.method, "onto": plan.fuse.target, "weights": run.weights},
        "grid": {"before": grid_form(target.grid), "after": grid_form(after.grid)},
        "shape": {"after": list(after.array.shape)},
        "dtype": {"after": str(after.array.dtype)},
        "kind": after.kind,
        "intensity": {"after": statistics[1].to_dict()},
        "warnings": list(dict.fromkeys(warnings)),
        "seconds": {name: round(value, 6) for name, value in seconds.items()},
        "threads": threads,
        "device": device or "cpu",
        "versions": versions((*packages, *(_CUPY if device else ()))),
    }
    return plain(record)


def grid_form(grid: Grid) -> dict[str, Any]:
    """``Grid.to_dict`` (its affine is RAS) with the same in LPS, and what people read off it."""
    return {
        **grid.to_dict(),
        "affine_lps": grid.lps.tolist(),
        "spacing": list(grid.spacing),
        "axcodes": "".join(grid.axcodes),
    }


def to_json(record: Mapping[str, Any]) -> str:
    """Strict JSON in the record's own order of keys, lists of numbers on one line each."""
    text = json.dumps(record, indent=1, allow_nan=False, ensure_ascii=False)
    return _NUMBERS.sub(lambda match: " ".join(match[0].split()), text) + "\n"


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of fastprep, Python, the array libraries and ``packages``, those that are installed."""
    found = {name: _version(name) for name in ("fastprep", "numpy", "numba", *packages)}
    return {"python": platform.python_version(), **{k: v for k, v in found.items() if v}}


@lru_cache(maxsize=64)
def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _made_by(pipeline: Pipeline) -> dict[str, Any]:
    """The pipeline, without the cases it was fitted on: those are in its own file."""
    form = {key: value for key, value in pipeline.to_dict().items() if key != "fitted_on"}
    return {"pipeline": form, "pipeline_sha256": pipeline.hash}


def _fill(plan: Plan, run: Run) -> list[Any] | None:
    """What the last pass wrote where no voxel of the scan lies, per channel; None where every output has a source.

    Where barriers decide it, of a batch one such list for each volume.
    """
    written = [step.outside for step in plan.passes if isinstance(step, Pass) and step.outside is not None]
    if not written:
        return None
    rows = [[told(fill, maps) for fill in written[-1]] for maps in run.maps or [{}]]
    return rows if len(rows) > 1 else rows[0]


def _clipped(before: Image, limits: Sequence[Limits], counted: Statistics) -> list[dict[str, Any]]:
    """Per channel: the physical range that is kept, and the fractions of the scan's finite voxels beyond it."""
    total = max(1, counted.count)
    rows = []
    for (low, high), counts in zip(limits, counted.outside, strict=True):
        below, above = counts if before.rescale.a > 0 else counts[::-1]
        share = {"fraction_below": below / total, "fraction_above": above / total}
        rows.append({"low": round(low, 6), "high": round(high, 6), **share})
    return rows


def _doubts(clipped: Sequence[Mapping[str, float]]) -> list[str]:
    """Words for a scan that hardly meets any range of the pipeline, as an MRI that is taken for a CT."""
    above = min((row["fraction_above"] for row in clipped), default=0.0)
    both = min((row["fraction_below"] + row["fraction_above"] for row in clipped), default=0.0)
    if max(2 * above, both) < _DOUBTFUL:
        return []
    return [f"{both:.1%} of the voxels are beyond the range that the pipeline keeps: is it made for this scan?"]


def plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """Only what JSON has: numbers that are no number become null."""
    return {str(k): _plain(v) for k, v in record.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
