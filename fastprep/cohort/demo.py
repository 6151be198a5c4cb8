"""The demo: phantoms of a CT, an MRI and an X-ray, prepared by the same runner as anything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from fastprep.cohort.cases import Found, find_cases
from fastprep.cohort.work import Settings
from fastprep.pipeline import Pipeline

#: What is done with the scans in each folder that ``write_demo_cohort`` makes.
PIPELINES = {
    "ct": """
        name: demo-ct
        modality: CT
        steps:
          - reorient: {axcodes: SPL}
          - resample: {spacing: [3, 3, 3]}
          - window: {preset: lung}
          - crop_or_pad: {shape: [96, 128, 128]}
        """,
    "mri": """
        name: demo-mri
        steps:
          - reorient: {axcodes: SAR}
          - resample: {spacing: [1.5, 1.5, 1.5], order: cubic}
          - crop_or_pad: {shape: [128, 144, 144]}
        """,
    "xray": """
        name: demo-xray
        dtype: uint8
        steps:
          - resample: {spacing: [2, 2], antialias: true}
          - window: {level: 2048, width: 4096, out_range: [0, 255]}
        """,
}


def run_demo(folder: Path, run: Callable[[Found, Settings], int], say: Callable[[str], None]) -> int:
    """Write phantoms to ``folder/scans``, prepare them into ``folder/prepared`` and tell what came out.

    One CT lacks a slice, to show how a scan is refused; the status is 1 only where nothing could be prepared.
    """
    from fastprep.testing.phantoms import write_demo_cohort

    scans, results = folder / "scans", folder / "prepared"
    if not scans.is_dir():
        write_demo_cohort(scans)
    barren = 0
    for name, text in PIPELINES.items():
        settings = Settings(Pipeline.from_yaml(text), results / name)
        say(f"\n{name}: {settings.pipeline.name}")
        found = find_cases([scans / name])
        run(found, settings)
        prepared = [case for case in found.cases if settings.sidecar(case).is_file()]
        for case in prepared:
            say(_figures(case.id, settings.sidecar(case)))
        barren += not prepared
    say(f"\nvolumes and sidecars: {results}")
    return min(barren, 1)


def _figures(name: str, sidecar: Path) -> str:
    record = json.loads(sidecar.read_text("utf-8"))
    grids, values = record["grid"], record["intensity"]
    shapes = " -> ".join("x".join(map(str, record["shape"][when])) for when in ("before", "after"))
    spacing = " -> ".join("/".join(f"{s:.3g}" for s in grids[when]["spacing"]) for when in ("before", "after"))
    means = " -> ".join(f"{values[when]['mean']:.4g} +- {values[when]['std']:.4g}" for when in ("before", "after"))
    return f"  {name}: {shapes}, {spacing} mm, mean {means}, {record['seconds']['total'] * 1000:.0f} ms"
