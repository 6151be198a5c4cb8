"""One case from file to file: read, compute, measure, write."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fastprep.cohort.cases import Case
from fastprep.cohort.leaks import Split, trained_on
from fastprep.cohort.masks import mask_for, mask_stamp, read_mask
from fastprep.cohort.notes import collected
from fastprep.cohort.outputs import write_text
from fastprep.cohort.read import PACKAGES, Irregular, Scan, read_case
from fastprep.cohort.sources import fingerprint, source, stamp
from fastprep.core.errors import ReadError, TooLargeError
from fastprep.core.grid import Grid
from fastprep.core.image import Image
from fastprep.core.threads import num_threads
from fastprep.io import save
from fastprep.io.atomic import atomic_path, write_error
from fastprep.ops.deskew import is_straight
from fastprep.pipeline import Deskew, Pipeline
from fastprep.pipeline.device import run_on_device
from fastprep.pipeline.given_mask import with_mask
from fastprep.pipeline.plan import Plan
from fastprep.pipeline.run import Run
from fastprep.pipeline.scan_steps import Looked, ScanStep, finder, scan_steps
from fastprep.pipeline.sidecar import sidecar, to_json
from fastprep.pipeline.statistics import in_units, inverse_of, statistics, unclipped
from fastprep.pipeline.transfers import download
from fastprep.pipeline.xray_steps import voi_used
from fastprep.registry import gpu_driver

_NO_VOI = "voi_lut: the file holds no window and no table that can be applied: its values stay as they are"


class Cancelled(Exception):  # noqa: N818 - no error: the user asked for it
    """The run was asked to stop while this case was at work."""


@dataclass(frozen=True)
class Settings:
    """What is the same for every case of a run."""

    pipeline: Pipeline
    output: Path
    format: str = "nii.gz"
    irregular: Irregular = "refuse"
    overwrite: bool = False
    #: Which split the scans are, where the user says: a test or validation case must not have been in the fit.
    split: Split | None = None
    #: Number of the CUDA device that computes; None is the CPU.
    device: int | None = None
    #: Of the device's free memory, what one case may take.
    device_share: float = 1.0
    #: By name, the masks that come with the scans; None where none do.
    masks: Mapping[str, Case] | None = None

    def key(self, case: Case) -> dict[str, str]:
        """All that decides an output besides its input: where it differs, the case is done again."""
        import fastprep

        key = {
            "pipeline": self.pipeline.hash,
            "version": fastprep.__version__,
            "format": self.format,
            "irregular": self.irregular,
            "kind": case.kind,
        }
        models = [step.digest for step in self.pipeline.steps if isinstance(step, ScanStep) and step.digest]
        if models:
            key["models"] = " ".join(models)
        if self.masks is not None:
            key["mask"] = mask_stamp(case, self.masks, self._of)
        trained = self.pipeline.fitted_on
        return key if trained is None else {**key, "fitted_on": trained.digest, "split": self.split or ""}

    @property
    def _of(self) -> str:
        """What the masks are of."""
        step = finder(self.pipeline.steps)
        return "" if step is None else step.what

    def with_mask(self, pipeline: Pipeline, scan: Image, case: Case) -> Pipeline:
        """The pipeline for a scan that brings its mask."""
        if self.masks is None:
            return pipeline
        mask, finding = read_mask(mask_for(case, self.masks, self._of), scan)
        return with_mask(pipeline, scan, mask, finding)

    def pipeline_on(self, grid: Grid) -> Pipeline:
        """The pipeline for a scan."""
        return straightened(self.pipeline, grid, self.irregular)

    def target(self, case: Case) -> Path:
        """Where the case's volume goes."""
        return self.output / f"{case.id}.{self.format}"

    def sidecar(self, case: Case) -> Path:
        """Where the case's sidecar goes."""
        return self.output / f"{case.id}.json"

    def mask(self, case: Case) -> Path | None:
        """Where the mask that the pipeline finds goes; None where it finds or writes none."""
        step = finder(self.pipeline.steps)
        return None if step is None or not step.write else self.output / f"{case.id}_{step.what}.{self.format}"


def straightened(pipeline: Pipeline, grid: Grid, irregular: Irregular) -> Pipeline:
    """The pipeline for a scan of this grid: a tilted one that was let in is straightened by the same interpolation."""
    if irregular == "refuse" or is_straight(grid):
        return pipeline
    looking = len(scan_steps(pipeline.steps))
    return replace(pipeline, steps=(*pipeline.steps[:looking], Deskew(), *pipeline.steps[looking:]))


@dataclass
class Clock:
    """Seconds by stage; every stage's end is a place where the run may stop."""

    check: Callable[[], None]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time what is inside, unless the run was asked to stop."""
        self.check()
        start = time.perf_counter()
        yield
        # A pass comes again for every volume of a batch.
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


def process(case: Case, settings: Settings, clock: Clock) -> dict[str, Any]:
    """Do a case and return its journal record; volume and sidecar are on disk when this returns."""
    start = time.perf_counter()
    with collected() as notes:
        before = stamp(case)
        with clock("read"):
            scan = read_case(case, settings.irregular)
        with clock("hash"):
            made_from = source(case)
            trained = trained_on(settings.pipeline, settings.split, case, made_from["sha256"], scan.image)
        if stamp(case) != before:
            msg = f"{made_from['name']}: changed while it was read"
            raise ReadError(msg)
        pipeline = settings.pipeline_on(scan.image.grid)
        with clock("look") if pipeline.finds else nullcontext():
            looked = _look(scan.image, settings.with_mask(pipeline, scan.image, case), settings)
        shown = voi_used(pipeline.steps, scan.image.voi)
        seen = [finding["warning"] for finding in looked.found if "warning" in finding]
        seen += [_NO_VOI] if shown == "" and scan.facts["format"] == "dicom" else []
        plan = looked.pipeline.plan_for(scan.image)
        run = Run(check=clock.check) if settings.device is not None else Run(stage=clock, check=clock.check)
        after = _compute(scan, plan, settings, clock, run)
        mask = _mask(looked, settings, case)
        with clock("statistics"):
            limits = [] if scan.image.kind == "label" else unclipped(plan, scan.image.rescale)
            stored = [in_units(pair, inverse_of(scan.image.rescale)) for pair in limits]
            stats = statistics(scan.image.array, stored), statistics(after.array)
        # From here to the record the case is not interrupted: a volume is never left without its sidecar.
        with clock("write"):
            write_volume(after, settings, case, mask)
        clock.seconds["total"] = time.perf_counter() - start
        record = sidecar(
            pipeline=pipeline,
            plan=plan,
            looked=looked.found,
            run=run,
            before=scan.image,
            after=after,
            sources=[made_from],
            scan={**scan.facts, "voi_used": shown} if shown else scan.facts,
            limits=limits,
            statistics=stats,
            warnings=[relative(text, case) for text in (*scan.warnings, *trained.warnings, *seen, *notes)],
            fitted_on=trained.record,
            seconds=clock.seconds,
            threads=num_threads(),
            device=None if settings.device is None else gpu_driver().device_name(settings.device),
            packages=(*PACKAGES.get(scan.facts["format"], ()), *PACKAGES.get(settings.format, ())),
        )
        write_text(settings.sidecar(case), to_json(record))
    return {
        "status": "ok",
        "key": settings.key(case),
        "stamp": before,
        "source": made_from["sha256"],
        "output": fingerprint(settings.target(case)),
        **({} if mask is None else {"mask": fingerprint(mask[0])}),
        "in_fit": trained.has_this_case,
    }


def may_be_done(case: Case, settings: Settings, record: dict[str, Any] | None) -> bool:
    """True when a record says the case was done this way and both files are still there, whole."""
    if record is None or settings.overwrite or record.get("status") != "ok" or record.get("key") != settings.key(case):
        return False
    mask = settings.mask(case)
    if mask is not None and fingerprint(mask) != record.get("mask"):
        return False
    return settings.sidecar(case).is_file() and fingerprint(settings.target(case)) == record["output"]


def _compute(scan: Scan, plan: Plan, settings: Settings, clock: Clock, run: Run) -> Image:
    image = scan.image
    if settings.device is None:
        array = plan(image.array, run=run)
    else:
        with clock("device"), gpu_driver().own_stream(settings.device):
            share = settings.device_share
            array = run_on_device(plan, image.array, settings.device, to_host=True, share=share, run=run)
    result = image.with_array(array, plan.grid)
    return replace(result, modality=image.modality or settings.pipeline.modality)


def _look(image: Image, pipeline: Pipeline, settings: Settings) -> Looked:
    """On the run's device, where the scan fits."""
    if settings.device is None or not pipeline.finds:
        return pipeline.look(image)
    try:
        with gpu_driver().own_stream(settings.device):
            return replace(pipeline, device=f"cuda:{settings.device}").look(image)
    except TooLargeError:
        return pipeline.look(image)


def _mask(looked: Looked, settings: Settings, case: Case) -> tuple[Path, Image] | None:
    """Where the mask that was found goes, and what it is on the grid of the output."""
    path = settings.mask(case)
    if looked.mask is None or path is None:
        return None
    with nullcontext() if settings.device is None else gpu_driver().own_stream(settings.device):
        moved = looked.pipeline(looked.mask)
        return path, replace(moved, array=download(moved.array))


def write_volume(image: Image, settings: Settings, case: Case, mask: tuple[Path, Image] | None = None) -> None:
    """The volume in place, and the sidecar of an earlier one gone, for it would describe the new one wrongly."""
    target = settings.target(case)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            save(image, temporary)
            settings.sidecar(case).unlink(missing_ok=True)
        if mask is not None:
            with atomic_path(mask[0]) as temporary:
                save(mask[1], temporary)
    except OSError as error:
        raise write_error(target.relative_to(settings.output), error) from error


def relative(text: str, case: Case) -> str:
    """A message without the place of the input on this machine."""
    return text.replace(f"{case.root}/", "").replace(str(case.root), case.root.name)
