"""One subject from files to file: every sequence read and prepared, joined, and recorded."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastprep.cohort.cases import Case
from fastprep.cohort.leaks import Trained, trained_on
from fastprep.cohort.memory import needed_together
from fastprep.cohort.notes import collected
from fastprep.cohort.outputs import write_text
from fastprep.cohort.read import PACKAGES, Scan, describe_case, read_case
from fastprep.cohort.sources import fingerprint, source, stamp
from fastprep.cohort.work import Clock, Settings, relative, write_volume
from fastprep.core.errors import ReadError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.threads import num_threads
from fastprep.ops.deskew import is_straight
from fastprep.pipeline import Deskew, Pipeline
from fastprep.pipeline.device import run_fused_on_device
from fastprep.pipeline.fused import FusedPlan, FusedRun
from fastprep.pipeline.pipeline import Header
from fastprep.pipeline.run import Run
from fastprep.pipeline.sidecar import fused_sidecar, to_json
from fastprep.pipeline.statistics import statistics
from fastprep.registry import gpu_driver


def plan_subject(case: Case, settings: Settings) -> tuple[FusedPlan, int]:
    """The plan of a subject and the bytes it will need at its peak, from headers alone."""
    if case.error is not None:
        raise case.error
    found = {name: describe_case(member, settings.irregular) for name, member in case.members}
    headers = {
        name: Header(scan.grid, "scalar", scan.modality, scan.rescale, scan.voi) for name, (scan, _) in found.items()
    }
    plan = _straightened(settings, {name: h.grid for name, h in headers.items()}).plan_sequences(headers)
    scans = {name: scan for name, (scan, _) in found.items()}
    return plan, sum(held for _, held in found.values()) + needed_together(scans, plan)


def process_subject(case: Case, settings: Settings, clock: Clock) -> dict[str, Any]:
    """Do a subject and return its journal record; volume and sidecar are on disk when this returns."""
    start = time.perf_counter()
    if case.error is not None:
        raise case.error
    members = dict(case.members)
    with collected() as notes:
        before = stamp(case)
        with clock("read"):
            scans = {name: read_case(member, settings.irregular) for name, member in members.items()}
        with clock("hash"):
            sources = {name: source(member) for name, member in members.items()}
            trained = {
                name: trained_on(settings.pipeline, settings.split, member, sources[name]["sha256"], scans[name].image)
                for name, member in members.items()
            }
        if stamp(case) != before:
            msg = f"{case.id}: changed while it was read"
            raise ReadError(msg)
        images = {name: scan.image for name, scan in scans.items()}
        pipeline = _straightened(settings, {name: image.grid for name, image in images.items()})
        plan = pipeline.plan_sequences(images)
        run = FusedRun(lambda: Run(stage=clock, check=clock.check))
        after = _compute(images, plan, settings, clock, run)
        with clock("statistics"):
            stats = {name: statistics(image.array) for name, image in images.items()}
            result = statistics(after.array)
        # From here to the record the subject is not interrupted: a volume is never left without its sidecar.
        with clock("write"):
            write_volume(after, settings, case)
        clock.seconds["total"] = time.perf_counter() - start
        record = fused_sidecar(
            pipeline=pipeline,
            plan=plan,
            run=run,
            before=images,
            after=after,
            sources=sources,
            scans={name: scan.facts for name, scan in scans.items()},
            statistics=(stats, result),
            warnings=[relative(text, case) for text in (*case.warnings, *_warnings(scans, trained), *notes)],
            fitted_on={name: about.record for name, about in trained.items()},
            seconds=clock.seconds,
            threads=num_threads(),
            device=None if settings.device is None else gpu_driver().device_name(settings.device),
            packages=(*_packages(scans), *PACKAGES.get(settings.format, ())),
        )
        write_text(settings.sidecar(case), to_json(record))
    return {
        "status": "ok",
        "key": settings.key(case),
        "stamp": before,
        "source": source(case)["sha256"],
        "output": fingerprint(settings.target(case)),
        "in_fit": any(about.has_this_case for about in trained.values()),
    }


def _compute(images: Mapping[str, Image], plan: FusedPlan, settings: Settings, clock: Clock, run: FusedRun) -> Image:
    arrays = {name: image.array for name, image in images.items()}
    if settings.device is None:
        array = plan(arrays, run=run)
    else:
        run.make = lambda: Run(check=clock.check)
        with clock("device"), gpu_driver().own_stream(settings.device):
            array = run_fused_on_device(plan, arrays, settings.device, run)
    first = images[plan.fuse.target]
    return replace(first.with_array(array, plan.grid), modality=first.modality or settings.pipeline.modality)


def _straightened(settings: Settings, grids: Mapping[str, Grid]) -> Pipeline:
    """The pipeline for these scans: tilted ones that were let in are straightened by the same interpolation."""
    pipeline, fuse = settings.pipeline, settings.pipeline.fuse
    if fuse is None or settings.irregular == "refuse" or all(map(is_straight, grids.values())):
        return pipeline
    parts = tuple(
        one if is_straight(grids[one.name]) else replace(one, steps=(Deskew(), *one.steps)) for one in fuse.sequences
    )
    return replace(pipeline, steps=(replace(fuse, sequences=parts), *pipeline.steps[1:]))


def _warnings(scans: Mapping[str, Scan], trained: Mapping[str, Trained]) -> list[str]:
    found = {name: (*scan.warnings, *trained[name].warnings) for name, scan in scans.items()}
    return [f"{name}: {text}" for name, texts in found.items() for text in texts]


def _packages(scans: Mapping[str, Scan]) -> tuple[str, ...]:
    found = (package for scan in scans.values() for package in PACKAGES.get(scan.facts["format"], ()))
    return tuple(dict.fromkeys(found))
