"""The command line. Each command imports what it needs, so that ``fastprep --help`` is there at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import click
except ImportError:  # a plain `pip install fastprep`, for its functions alone
    sys.exit("error: the command line needs click: pip install 'fastprep[scans]'")

import fastprep
from fastprep._cli_quality import clahe_sweep, compare
from fastprep._options import IRREGULAR, THREADS, counts, threshold_or_word, thresholds
from fastprep._terminal import (
    bias_text,
    failures_text,
    field_progress,
    leaks_text,
    metal_text,
    mib,
    progress,
    summary_text,
    sweep_rows,
    table,
)
from fastprep.core.errors import FastprepError

if TYPE_CHECKING:
    from fastprep.cohort.cases import Found
    from fastprep.cohort.runner import Outcome
    from fastprep.cohort.work import Settings
    from fastprep.pipeline import Pipeline

_INPUTS = click.argument("inputs", nargs=-1, required=True, metavar="INPUT...", type=click.Path(path_type=Path))
_LABELS = click.option(
    "--labels", multiple=True, metavar="GLOB", help="File names that are label maps, e.g. '*_seg.nii.gz'."
)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 all is well, 1 a case failed, 2 nothing could be done."""
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    try:
        return cli.main(args, prog_name="fastprep", standalone_mode=False) or 0
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        # The reader left, as `head` does; what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("FASTPREP_DEBUG"):
            raise
        click.echo(f"error: {_words(error)}", err=True)
        return 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(fastprep.__version__, prog_name="fastprep")
def cli() -> None:
    """Medical scans on one ruler: CT, MRI and X-ray prepared for models."""


@cli.command()
@click.argument("pipeline")
@_INPUTS
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
@click.option("--jobs", type=click.IntRange(1), help="Scans at work at once.  [default: one per thread]")
@click.option("--threads", type=click.IntRange(1), help="Threads in all, shared by the jobs.  [default: every core]")
@click.option("--format", "form", type=click.Choice(["nii.gz", "nii", "npy", "zarr"]), default="nii.gz")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, or auto: CUDA where there is one.")
@IRREGULAR
@_LABELS
@click.option(
    "--split", help="train, val or test: what the scans are; a fitted pipeline refuses a val or test case it has seen."
)
@click.option("--masks", type=click.Path(path_type=Path), help="Folder with a mask for each scan, of the same name.")
@click.option("--segmenter", metavar="MODEL", help="A model that finds the mask: .onnx, .pt, or package.module:name.")
@click.option("--overwrite", is_flag=True, help="Do again what is done already.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done; write nothing.")
def run(
    pipeline: str,
    inputs: Sequence[Path],
    output: Path,
    jobs: int | None,
    threads: int | None,
    form: str,
    device: str,
    irregular: Any,
    labels: Sequence[str],
    split: str | None,
    masks: Path | None,
    segmenter: str | None,
    overwrite: bool,
    dry_run: bool,
) -> int:
    """Run PIPELINE, a preset or a YAML file, over every scan in INPUT.

    A run that was stopped goes on where it was; scans that fail are listed in failures.csv.
    """
    from fastprep.cohort.leaks import check_split, refuse_overlap
    from fastprep.cohort.masks import masked
    from fastprep.cohort.work import Settings
    from fastprep.core.threads import set_num_threads
    from fastprep.pipeline import Pipeline
    from fastprep.pipeline.device import parse_device
    from fastprep.pipeline.learned import require_fitted

    known = check_split(split)
    wanted, given = masked(Pipeline.load(pipeline), masks, segmenter)
    settings = Settings(wanted, output, form, irregular, overwrite, known, parse_device(device), masks=given)
    require_fitted(settings.pipeline.steps)
    set_num_threads(threads)
    found = _subjects(_find(inputs, output, labels), settings.pipeline)
    refuse_overlap(found.cases, settings.pipeline, known)
    return _dry_run(found, settings) if dry_run else _run(found, settings, jobs)


@cli.command()
@click.argument("pipeline")
@click.argument("cases", nargs=-1, required=True, metavar="CASE...", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The fitted pipeline, a YAML file."
)
@click.option("--jobs", type=click.IntRange(1), help="Scans at work at once.  [default: one per thread]")
@click.option("--threads", type=click.IntRange(1), help="Threads in all, shared by the jobs.  [default: every core]")
@IRREGULAR
@_LABELS
@click.option("--overwrite", is_flag=True, help="Replace the output where there is one.")
def fit(
    pipeline: str,
    cases: Sequence[Path],
    output: Path,
    jobs: int | None,
    threads: int | None,
    irregular: Any,
    labels: Sequence[str],
    overwrite: bool,
) -> int:
    """Fit what PIPELINE learns from data on the training scans in CASE, and on no others.

    The result is the same pipeline with its numbers, and the hashes of the cases they came from: `fastprep run` tells
    when it meets one of them again.
    """
    from fastprep.cohort.fit import fit_cohort
    from fastprep.cohort.outputs import write_text
    from fastprep.cohort.work import Cancelled
    from fastprep.core.errors import ArgumentError
    from fastprep.core.threads import set_num_threads
    from fastprep.pipeline import Pipeline
    from fastprep.pipeline.learned import LearnedStep, parts_of

    unfitted = Pipeline.load(pipeline)
    if output.suffix not in (".yaml", ".yml"):
        msg = f"output={str(output)!r}: expected a .yaml file"
        raise ArgumentError(msg)
    if output.exists() and not overwrite:
        msg = f"output={str(output)!r} is there already: --overwrite replaces it"
        raise ArgumentError(msg)
    set_num_threads(threads)
    found = _find(cases, None, labels)
    _tell_skipped(found)
    with _stopped_by_signals() as (stop, signals), progress(len(found.cases)) as on_outcome:
        try:
            done = fit_cohort(found, unfitted, irregular=irregular, jobs=jobs, stop=stop, on_outcome=on_outcome)
        except Cancelled:
            return 128 + signals[0]
    write_text(output, done.pipeline.to_yaml())
    for outcome in done.failed:
        click.echo(f"left out {outcome.case.id}: {outcome.message}", err=True)
    for where, steps in parts_of(done.pipeline.steps):
        for step in steps:
            if isinstance(step, LearnedStep):
                click.echo(f"{where}{step.name}: {step.summary()}")
    click.echo(f"fitted on {done.cases} cases in {done.seconds:.1f} s: {output}")
    return 1 if done.failed else 0


@cli.command()
@click.argument("path", type=click.Path(path_type=Path))
def info(path: Path) -> int:
    """Show the scans in PATH: grid, units, series and what is wrong with them. Never who the patient is."""
    from fastprep.cohort.show import describe_lines

    found = _find([path], None, ())
    good = 0
    for case in found.cases:
        lines, readable = describe_lines(case)
        click.echo("\n".join(lines))
        good += readable
    _tell_skipped(found)
    return 0 if good else 1


@cli.command()
@click.argument("pipeline")
@click.argument("path", type=click.Path(path_type=Path))
@IRREGULAR
@_LABELS
def plan(pipeline: str, path: Path, irregular: Any, labels: Sequence[str]) -> int:
    """Show how PIPELINE would be carried out on the scans in PATH, without reading a voxel."""
    from fastprep.cohort.runner import plan_case
    from fastprep.cohort.work import Settings
    from fastprep.pipeline import Pipeline

    settings = Settings(Pipeline.load(pipeline), Path(), irregular=irregular)
    failed = 0
    for case in _subjects(_find([path], None, labels), settings.pipeline).cases:
        click.echo(f"{case.id}:")
        try:
            steps, need = plan_case(case, settings)
            click.echo(f"{steps}\n{mib(need)} of memory")
        except FastprepError as error:
            failed = 1
            click.echo(f"error: {_words(error)}", err=True)
    return failed


@cli.command()
@click.argument("scan", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
@click.option("--method", default="n4", show_default=True, help="n4, polynomial, homomorphic or gaussian.")
@click.option(
    "--mask", default="otsu", show_default=True, metavar="PATH", help="Where tissue is; otsu, or none: all voxels."
)
@click.option("--shrink", type=click.IntRange(1), help="n4: fit to every Nth voxel of each axis.  [n4: 4]")
@click.option(
    "--iterations",
    callback=counts,
    metavar="N,N,...",
    help="n4, polynomial: at most, for each level.  [n4: 50,50,50,50]",
)
@click.option("--threshold", type=float, help="n4, polynomial: change that ends a level.  [n4: 0.001]")
@click.option("--spline-spacing", type=float, metavar="MM", help="n4: first span of the splines.")
@click.option("--sigma", type=float, metavar="MM", help="homomorphic, gaussian: width of the blur.")
@click.option("--order", type=int, help="polynomial: highest degree.")
@THREADS
@IRREGULAR
@click.option("--overwrite", is_flag=True, help="Do again what is done already.")
def bias(
    scan: Path,
    output: Path,
    method: str,
    mask: str,
    threads: int | None,
    irregular: Any,
    overwrite: bool,
    **options: Any,
) -> int:
    """Remove the bias field of the MR image SCAN; write volume, field, picture and record."""
    from fastprep.cohort.bias import BiasSettings, correct_bias
    from fastprep.cohort.work import Cancelled
    from fastprep.core.threads import set_num_threads

    given = {name: value for name, value in options.items() if value is not None}
    settings = BiasSettings(output, method, mask, given, irregular, overwrite)
    set_num_threads(threads)
    with _stopped_by_signals() as (stop, signals), field_progress(settings.most_iterations()) as show:

        def check() -> None:
            if stop.is_set():
                raise Cancelled

        try:
            found = correct_bias(scan, settings, check=check, progress=show)
        except Cancelled:
            return 128 + signals[0]
    for text in found.record["warnings"]:
        click.echo(f"warning: {text}", err=True)
    click.echo(bias_text(found))
    return 0


@cli.command()
@_INPUTS
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
@click.option(
    "--threshold", callback=threshold_or_word, default="3000", show_default=True, metavar="HU", help="HU, or adaptive."
)
@click.option(
    "--min-volume",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="MM3",
    help="Smaller parts are told, not counted.",
)
@click.option("--connectivity", type=int, default=26, show_default=True, help="6, 18 or 26.")
@click.option("--sweep", callback=thresholds, metavar="HU,HU,...", help="Volumes at these thresholds besides.")
@click.option("--mask", is_flag=True, help="Write the implants' mask, too.")
@click.option("--no-picture", is_flag=True, help="Write no picture; Matplotlib is not needed then.")
@THREADS
@IRREGULAR
@_LABELS
@click.option("--overwrite", is_flag=True, help="Do again what is done already.")
def metal(
    inputs: Sequence[Path],
    output: Path,
    threshold: float | str,
    min_volume: float,
    connectivity: int,
    sweep: tuple[float, ...],
    mask: bool,
    no_picture: bool,
    threads: int | None,
    irregular: Any,
    labels: Sequence[str],
    overwrite: bool,
) -> int:
    """Look for metal in every CT in INPUT: its volume, and how badly it spoils the scan; write record and picture."""
    from fastprep.cohort.metal import MetalSettings, survey_metal
    from fastprep.core.connectivity import check_connectivity
    from fastprep.core.threads import set_num_threads

    check_connectivity(connectivity, 3)
    settings = MetalSettings(
        output=output,
        threshold=threshold,
        min_volume_mm3=min_volume,
        connectivity=connectivity,
        sweep=sweep,
        picture=not no_picture,
        mask=mask,
        irregular=irregular,
        overwrite=overwrite,
    )
    set_num_threads(threads)
    found = _find(inputs, output, labels)
    _tell_skipped(found)

    def tell(outcome: Outcome, record: dict[str, Any] | None) -> None:
        for text in record["warnings"] if record else ():
            click.echo(f"warning: {outcome.case.id}: {text}", err=True)
        click.echo(metal_text(outcome, record), err=record is None)

    with _stopped_by_signals() as (stop, signals):
        done = survey_metal(found, settings, stop=stop, on_outcome=tell)
    records = {outcome.case.id: record for outcome, record in done if record}
    if sweep and records:
        click.echo(table(sweep_rows(records)))
    if signals:
        return 128 + signals[0]
    return 1 if any(outcome.status == "failed" for outcome, _ in done) else 0


cli.add_command(compare)
cli.add_command(clahe_sweep)


@cli.command()
def ops() -> None:
    """List the operations and what they run on."""
    from fastprep.registry import TABLE

    head = ("operation", "kernels", "reference", "cpu", "gpu", "splits")
    rows = [(op.name, ", ".join(op.kernels), op.reference, op.cpu, op.gpu, op.splits) for op in TABLE]
    click.echo(table([head, *rows]))


@cli.command()
@click.argument("name", required=False)
def presets(name: str | None) -> None:
    """List the pipelines that ship, or print the YAML of one."""
    from fastprep.pipeline import Pipeline, yaml_form

    if name is None:
        rows = [(preset, Pipeline.load(preset).description) for preset in yaml_form.presets()]
        click.echo(table(rows))
    else:
        click.echo(yaml_form.text_of_preset(name), nl=False)


@cli.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("fastprep-demo"), show_default=True)
def demo(output: Path) -> int:
    """Make small CT, MRI and X-ray phantoms and prepare them: no network, no data needed."""
    from fastprep.cohort.demo import run_demo

    return run_demo(output, lambda found, settings: _run(found, settings, None), click.echo)


@cli.command()
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1 or auto.")
def warmup(device: str) -> None:
    """Compile the kernels once, so that no later run waits for it."""
    import time

    start = time.perf_counter()
    fastprep.warmup(device=device)
    click.echo(f"kernels are compiled ({time.perf_counter() - start:.1f} s)")


def _find(inputs: Sequence[Path], output: Path | None, labels: Sequence[str]) -> Found:
    from fnmatch import fnmatch

    from fastprep.cohort.cases import find_cases

    return find_cases(inputs, output=output, is_label=lambda name: any(fnmatch(name, glob) for glob in labels))


def _subjects(found: Found, pipeline: Pipeline) -> Found:
    """The scans as they are, or as subjects for a pipeline of several sequences."""
    from fastprep.cohort.subjects import subjects

    return found if pipeline.fuse is None else subjects(found, pipeline.fuse)


def _run(found: Found, settings: Settings, jobs: int | None) -> int:
    from fastprep.cohort.memory import peak_rss
    from fastprep.cohort.runner import run_cohort

    _tell_skipped(found)
    with _stopped_by_signals() as (stop, signals), progress(len(found.cases)) as on_outcome:
        summary = run_cohort(found, settings, jobs=jobs, stop=stop, on_outcome=on_outcome)
    for line in failures_text(summary):
        click.echo(line, err=True)
    if settings.split is None and (line := leaks_text(summary)):
        click.echo(line, err=True)
    click.echo(summary_text(summary, peak_rss()))
    if signals:
        return 128 + signals[0]
    return 1 if summary.count("failed") else 0


def _dry_run(found: Found, settings: Settings) -> int:
    from fastprep.cohort.show import forecast

    rows, failed = forecast(found, settings)
    click.echo(table(rows))
    _tell_skipped(found)
    return 1 if failed else 0


@contextmanager
def _stopped_by_signals() -> Iterator[tuple[threading.Event, list[int]]]:
    """An event that Ctrl-C or SIGTERM sets, and the signals that came; a second one is as usual."""
    stop, came = threading.Event(), list[int]()
    usual: dict[int, Any] = {}

    def handle(number: int, _frame: object) -> None:
        came.append(number)
        stop.set()
        signal.signal(number, usual[number])
        # Not click.echo: the signal may have come in the middle of a print.
        os.write(2, b"\nstopping: scans at work end at their next stage, what is done is kept\n")

    for number in (int(signal.SIGINT), int(signal.SIGTERM)):
        usual[number] = signal.signal(number, handle)
    try:
        yield stop, came
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


def _tell_skipped(found: Found) -> None:
    if found.skipped:
        name, reason = found.skipped[0]
        more = f" and {len(found.skipped) - 1} more" if len(found.skipped) > 1 else ""
        click.echo(f"skipped {name} ({reason}){more}", err=True)


def _words(error: Exception) -> str:
    """An error on one line."""
    if isinstance(error, click.ClickException):
        text = error.format_message()
    elif isinstance(error, FastprepError):
        text = str(error)
    else:
        text = f"unexpected {type(error).__name__}: {error} (FASTPREP_DEBUG=1 shows where)"
    return " ".join(text.split())
