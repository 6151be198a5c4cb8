"""Scans of different sizes prepared together, into one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastprep.core.errors import ShapeError
from fastprep.core.index_map import IndexMap
from fastprep.core.namespace import check_together
from fastprep.ops._arrays import empty, view_of
from fastprep.ops._sample import sample
from fastprep.pipeline.device import on_device
from fastprep.pipeline.plan import Plan
from fastprep.registry import one_launch


def prepare_batch(plans: Sequence[Plan], arrays: Sequence[Any], device: str | None) -> Any:
    """``plans[i](arrays[i])`` for every i, stacked along a new first axis; see `Pipeline.batch`."""
    if not plans:
        msg = "images: expected at least one"
        raise ShapeError(msg)
    if device is not None:
        arrays = [on_device(x, device) for x in arrays]
    check_together(**{f"image {i}": x for i, x in enumerate(arrays)})
    shape, dtype = _common(plans, arrays)
    result = empty((len(plans), *shape), dtype, arrays[0])
    whole = result.finish()
    held = list(arrays)
    alike = []
    for i, plan in enumerate(plans):
        if plan.has_barriers:
            plan(arrays[i], into=result.view[i])
        elif plan.passes:
            alike.append((i, plan))
        else:
            sample(held[i], IndexMap.identity(plan.grid.shape), order=0, into=result.view[i])
    # Pass by pass over all scans, so that a GPU gets each pass as one launch; the last of a scan goes to its place.
    for number in range(max((len(plan.passes) for _, plan in alike), default=0)):
        with one_launch(arrays[0]):
            for i, plan in alike:
                if number < len(plan.passes):
                    last = number == len(plan.passes) - 1
                    held[i] = plan.passes[number](held[i], result.view[i] if last else None)
    return whole


def _common(plans: Sequence[Plan], arrays: Sequence[Any]) -> tuple[tuple[int, ...], str]:
    made = []
    for plan, x in zip(plans, arrays, strict=True):
        view = view_of(x)
        written, dtype = plan.written(view.shape, view.dtype)
        made.append((written, dtype.name))
    for i, one in enumerate(made):
        if one != made[0]:
            shapes = f"{made[0][0]} {made[0][1]} from image 0, {one[0]} {one[1]} from image {i}"
            msg = f"{shapes}: a batch is of one shape and dtype; end the pipeline with CropOrPad, and give it a dtype"
            raise ShapeError(msg)
    return made[0]
