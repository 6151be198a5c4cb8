"""Commands that judge: two scans beside each other, and CLAHE with many parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fastprep._options import IRREGULAR, THREADS, clip_limits, tile_counts

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("before", type=_FILE)
@click.argument("after", type=_FILE)
@click.option("-o", "--output", required=True, type=_FILE, help="The picture, a PNG.")
@click.option("--truth", type=_FILE, help="What both should be, where it is known.")
@click.option("--mask", type=_FILE, help="Where figures are taken, non-zero inside.  [default: everywhere]")
@click.option(
    "--data-range", type=float, metavar="R", help="Of PSNR and SSIM: 255 of 8 bits.  [default: that of the values]"
)
@click.option("--json", "record", type=_FILE, help="Write the figures to this file, too.")
@IRREGULAR
@THREADS
def compare(
    before: Path,
    after: Path,
    output: Path,
    truth: Path | None,
    mask: Path | None,
    data_range: float | None,
    record: Path | None,
    irregular: Any,
    threads: int | None,
) -> int:
    """Tell what was done from BEFORE to AFTER: contrast, edges beside noise, and errors; draw both.

    Every figure stands beside what doing nothing would get.
    """
    from fastprep.cohort.compare import CompareSettings, compare_scans
    from fastprep.core.threads import set_num_threads

    set_num_threads(threads)
    found, form = compare_scans(before, after, CompareSettings(output, truth, mask, data_range, record, irregular))
    for text in form["warnings"]:
        click.echo(f"warning: {text}", err=True)
    click.echo(str(found))
    whose = "as given" if data_range is not None else f"that of {found.against if truth is None else 'the truth'}"
    click.echo(f"data range {found.data_range:g}, {whose}; {found.voxels} voxels")
    return 0


@click.command("clahe-sweep")
@click.argument("scan", type=_FILE)
@click.option("-o", "--output", required=True, type=_FILE, help="Folder for sweep.png and sweep.json.")
@click.option("--clip", callback=clip_limits, default="1,2,3,4", show_default=True, metavar="C,C,...")
@click.option(
    "--tiles", callback=tile_counts, default="4,8,16", show_default=True, metavar="N,N,...", help="Along every axis."
)
@click.option("--bins", type=click.IntRange(2), default=256, show_default=True)
@click.option("--mask", type=_FILE, help="Where tables and figures are taken, non-zero inside.  [default: everywhere]")
@IRREGULAR
@THREADS
def clahe_sweep(
    scan: Path,
    output: Path,
    clip: tuple[float, ...],
    tiles: tuple[int, ...],
    bins: int,
    mask: Path | None,
    irregular: Any,
    threads: int | None,
) -> int:
    """Try CLAHE on SCAN with every clip limit and number of tiles: what contrast it gains, and what noise.

    Weak is 1 and 8 tiles, standard 2 and 8, strong 3 and 8, max 4 and 16; what `fastprep.clahe_parameters` chooses is
    marked.
    """
    from fastprep.cohort.sweep import SweepSettings, sweep_scan
    from fastprep.core.threads import set_num_threads

    set_num_threads(threads)
    click.echo(str(sweep_scan(scan, SweepSettings(output, clip, tiles, bins, mask, irregular))))
    return 0
