"""One scan without its bias field: volume, field, picture and record, with any of the correctors."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fastprep
from fastprep.cohort.cases import Case
from fastprep.cohort.notes import collected, routed
from fastprep.cohort.outputs import write_text, written_before
from fastprep.cohort.read import PACKAGES, Irregular, read_case
from fastprep.cohort.single import one_volume, only_case
from fastprep.cohort.sources import source
from fastprep.cohort.work import Clock, relative
from fastprep.core.errors import ArgumentError
from fastprep.core.image import Image
from fastprep.core.namespace import host_view
from fastprep.core.threads import num_threads
from fastprep.io import save
from fastprep.io._extras import require
from fastprep.io.atomic import write_error
from fastprep.pipeline.sidecar import grid_form, plain, to_json, versions
from fastprep.qc import bias_picture, field_statistics, tissue_cv

if TYPE_CHECKING:
    from fastprep.ops._bias import BiasField

#: Raised when a key of the record changes its meaning or goes away.
FORMAT = 1
#: The function of each method, and which of its keywords the command's options are.
METHODS: dict[str, tuple[str, dict[str, str]]] = {
    "n4": (
        "n4",
        {
            "shrink": "shrink_factor",
            "iterations": "iterations",
            "threshold": "convergence_threshold",
            "spline_spacing": "spline_spacing",
        },
    ),
    "polynomial": (
        "polynomial_bias",
        {"order": "order", "iterations": "iterations", "threshold": "convergence_threshold"},
    ),
    "homomorphic": ("homomorphic_bias", {"sigma": "sigma"}),
    "gaussian": ("gaussian_bias", {"sigma": "sigma"}),
}
#: Where a command's default is not the function's: at every fourth voxel N4 finds the same field in a moment.
_DEFAULTS = {"n4": {"shrink_factor": 4}}
#: Keywords that are data or a way to call, no choice of the user.
_NO_CHOICE = frozenset({"weights", "label", "spacing", "nan", "progress"})
_CORRECTED, _FIELD, _PICTURE, _RECORD = "corrected.nii.gz", "field.nii.gz", "bias.png", "bias.json"
Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class BiasSettings:
    """What is done to the scan, and where its results go.

    ``mask`` is "otsu" (`fastprep.foreground_mask`), "none" (all voxels), or a file. ``options`` are those of the
    command, of ``METHODS``, that the user gave.
    """

    output: Path
    method: str = "n4"
    mask: str = "otsu"
    options: Mapping[str, Any] | None = None
    irregular: Irregular = "refuse"
    overwrite: bool = False

    def parameters(self) -> dict[str, Any]:
        """All keywords of the corrector that decide its answer.

        Raises
        ------
        ArgumentError
            An option that the method does not have, or an unknown method.
        """
        if self.method not in METHODS:
            msg = f"method={self.method!r}: expected one of {', '.join(METHODS)}"
            raise ArgumentError(msg)
        name, keywords = METHODS[self.method]
        options = dict(self.options or {})
        for option in options:
            if option not in keywords:
                owners = [method for method, (_, has) in METHODS.items() if option in has]
                msg = (
                    f"--{option.replace('_', '-')} is for {' and '.join(owners) or 'no method'}, not for {self.method}"
                )
                raise ArgumentError(msg)
        own = inspect.signature(getattr(fastprep, name)).parameters.values()
        defaults = {p.name: p.default for p in own if p.kind is p.KEYWORD_ONLY and p.name not in _NO_CHOICE}
        given = {keywords[option]: value for option, value in options.items()}
        if "iterations" in given and not isinstance(defaults["iterations"], tuple):
            if len(given["iterations"]) > 1:
                msg = f"--iterations {','.join(map(str, given['iterations']))}: {self.method} has one level"
                raise ArgumentError(msg)
            given["iterations"] = given["iterations"][0]
        return {**defaults, **_DEFAULTS.get(self.method, {}), **given}

    def most_iterations(self) -> tuple[int, ...]:
        """The most iterations of each level; nothing for a method without."""
        most = self.parameters().get("iterations", ())
        return most if isinstance(most, tuple) else (most,)

    def path(self, case: Case, what: str) -> Path:
        """Where a result goes."""
        return self.output / f"{case.id}_{what}"


@dataclass(frozen=True)
class Corrected:
    """What became of a scan: its name, its record, and whether it was there already."""

    id: str
    record: dict[str, Any]
    is_old: bool = False


def correct_bias(
    path: Path, settings: BiasSettings, *, check: Callable[[], None] = lambda: None, progress: Progress | None = None
) -> Corrected:
    """Estimate the field of one scan and write volume, field, picture and record.

    What an earlier call wrote from the same files in the same way is left as it is. ``check`` is called between stages
    and iterations and ends the work by raising; ``progress`` is the corrector's.

    Raises
    ------
    FastprepError
        As readers, corrector and writers do; ArgumentError where ``path`` holds several scans.
    """
    parameters = settings.parameters()
    # Missing before the work is done, not after.
    require("matplotlib.figure")
    clock = Clock(check)
    with routed(), collected() as notes:
        case = only_case(path, settings.output)
        marks = None if settings.mask in ("otsu", "none") else only_case(Path(settings.mask), settings.output)
        with clock("hash"):
            sources = [source(each) for each in (case, marks) if each is not None]
        request = plain({
            "format": FORMAT,
            "sources": sources,
            "method": settings.method,
            "parameters": parameters,
            "mask": "file" if marks else settings.mask,
            "irregular": settings.irregular,
            "version": fastprep.__version__,
        })  # fmt: skip
        record_path, *others = (settings.path(case, what) for what in (_RECORD, _CORRECTED, _FIELD, _PICTURE))
        if not settings.overwrite and (record := written_before(record_path, request, others)) is not None:
            return Corrected(case.id, record, is_old=True)
        with clock("read"):
            scan = read_case(case, settings.irregular)
            image = one_volume(scan, case)
        with clock("mask"):
            mask = _mask(image, settings, marks)
        with clock("field"):
            result = _estimate(image, mask, settings.method, parameters, check, progress)
        with clock("statistics"):
            figures = _figures(image, result, mask)
        # From here on the work is not interrupted: a record is never beside files that it does not describe.
        with clock("write"):
            _write(settings, case, image, result, mask)
        facts = {
            "scan": scan.facts,
            "grid": grid_form(image.grid),
            "dtype": {"before": str(scan.image.array.dtype), "after": str(result.corrected.array.dtype)},
            **figures,
            "warnings": [relative(text, case) for text in dict.fromkeys((*scan.warnings, *notes))],
            "seconds": {name: round(seconds, 6) for name, seconds in clock.seconds.items()},
            "threads": num_threads(),
            "versions": versions((*PACKAGES.get(scan.facts["format"], ()), *PACKAGES["nii.gz"], "matplotlib")),
        }
        record = {**request, **plain(facts)}
        write_text(settings.path(case, _RECORD), to_json(record))
    return Corrected(case.id, record)


def _mask(image: Image, settings: BiasSettings, marks: Case | None) -> Image | None:
    if marks is not None:
        return replace(one_volume(read_case(marks, settings.irregular), marks), kind="label")
    if settings.mask == "none":
        return None
    mask: Image = fastprep.foreground_mask(image)
    return mask


def _estimate(
    image: Image,
    mask: Image | None,
    method: str,
    parameters: Mapping[str, Any],
    check: Callable[[], None],
    progress: Progress | None,
) -> BiasField:
    function = getattr(fastprep, METHODS[method][0])
    watch = {}
    if "progress" in inspect.signature(function).parameters:

        def tell(level: int, iteration: int, convergence: float) -> None:
            check()
            if progress is not None:
                progress(level, iteration, convergence)

        watch["progress"] = tell
    result: BiasField = function(image, mask, **parameters, **watch)
    return result


def _figures(image: Image, result: BiasField, mask: Image | None) -> dict[str, Any]:
    inside = np.ones(image.grid.shape, bool) if mask is None else host_view(mask.array) != 0
    voxels = int(inside.sum())
    log_mean = float(host_view(result.log_field.array)[inside].mean(dtype=np.float64))
    return {
        "iterations": list(result.iterations),
        "convergence": list(result.convergence),
        "inside": {"voxels": voxels, "fraction": voxels / inside.size},
        # What the field file has more than the figures below, which are of a geometric mean of 1.
        "geometric_mean": math.exp(log_mean),
        "field": asdict(field_statistics(result.log_field, inside)),
        "cv": {name: tissue_cv(x, inside)[1] for name, x in (("before", image), ("after", result.corrected))},
    }


def _write(settings: BiasSettings, case: Case, image: Image, result: BiasField, mask: Image | None) -> None:
    """All but the record; that of an earlier call goes first, for it would describe the new files wrongly."""
    target = settings.path(case, _CORRECTED)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        settings.path(case, _RECORD).unlink(missing_ok=True)
    except OSError as error:
        raise write_error(settings.output, error) from error
    save(result.corrected, target)
    save(result.log_field.with_array(np.exp(host_view(result.log_field.array))), settings.path(case, _FIELD))
    bias_picture(image, result, settings.path(case, _PICTURE), mask, title=f"{case.id}: {settings.method}")
