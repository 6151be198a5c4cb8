"""One run of the GPU jobs: measured, written after every job, rendered from what was written."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _harness as h
from _cuda import Lab, cuda_is_here, open_lab
from _cuda_data import SIZES, Data
from _cuda_measure import measure
from bench_cuda import JOBS

BEGIN, END = "<!-- benchmarks-cuda:begin -->", "<!-- benchmarks-cuda:end -->"
_RESULTS = Path(__file__).resolve().parent / "results"
_EMULATED = "**Emulated: no GPU was here. The outputs are real; the times mean nothing.**"
_UNITS = {
    "copy": "{:.0%}",
    "over": "{:+.0%}",
    "ms": "{:.3f} ms",
    "us": "{:.1f} us",
    "peer": "{:.1f}x",
    "trips": "{:.2f}",
}


def run(
    only: Sequence[str], size: str, output: Path | None, repeats: int, budget_s: float, minutes: float
) -> tuple[dict[str, Any], Path | None]:
    """The result, and the file it is in, if any: emulated and small runs are kept only where ``output`` says so.

    Jobs of an earlier run of the same machine and size in that file are kept, unless they are measured again.
    """
    began = time.monotonic()
    deadline = began + minutes * 60
    if size == "full" and not cuda_is_here():
        msg = "no CUDA device (or no CuPy): --size small runs the jobs on the emulator"
        raise SystemExit(msg)
    with open_lab() as lab:
        results = _head(lab, size)
        path = _path(results, output)
        earlier = _earlier(path, results)
        data = Data(lab, SIZES[size])
        bandwidth = lab.copy_bandwidth()
        results["machine"]["copy_bandwidth_gb_s"] = bandwidth / 1e9
        found = {job["key"]: job for job in earlier}
        late = []
        for key in [k for k in JOBS if not only or k in only]:
            if time.monotonic() > deadline:
                late.append(key)
                continue
            print(f"{key}: {time.monotonic() - began:.0f} s", flush=True)
            try:
                lab.free()
                found[key] = measure(lab, JOBS[key](data), repeats, budget_s, deadline, bandwidth)
            except Exception as error:  # the other jobs go on
                print(f"  not measured: {h.reason(error)}", flush=True)
                found[key] = {"key": key, "name": key, "error": h.reason(error)}
            results["jobs"] = [found[k] for k in JOBS if k in found]
            results["seconds"] = time.monotonic() - began
            _write(results, path)
        # Again at the end: a machine whose bandwidth moved meanwhile was not quiet.
        try:
            lab.free()
            results["machine"]["copy_bandwidth_at_end_gb_s"] = lab.copy_bandwidth() / 1e9
        except Exception as error:  # a device that failed in some job: what is written stays
            print(f"the device does not answer any more: {h.reason(error)}")
        results["seconds"] = time.monotonic() - began
        _write(results, path)
    if late:
        print(f"out of time after {minutes:g} minutes, not run: {', '.join(late)}")
    return results, path


def is_publishable(results: dict[str, Any]) -> bool:
    """Whether the README may show it: a real device, the full size, every job."""
    return not results["emulated"] and results["size"] == "full" and [j["key"] for j in results["jobs"]] == list(JOBS)


def _head(lab: Lab, size: str) -> dict[str, Any]:
    chosen = SIZES[size]
    return {
        "device": "cuda",
        "emulated": lab.emulated,
        "size": size,
        "machine": lab.facts(),
        "input": {"source": "phantom of a chest CT", "shape": list(chosen.shape), "spacing_mm": list(chosen.spacing)},
        "jobs": [],
    }


def _path(results: dict[str, Any], output: Path | None) -> Path | None:
    machine = results["machine"]
    name = "-".join(re.findall(r"[a-z0-9]+", f"{machine['gpu']} {machine['date']}".lower())) + ".json"
    if output is not None:
        return output if output.suffix == ".json" else output / name
    return _RESULTS / name if results["size"] == "full" and not results["emulated"] else None


def _earlier(path: Path | None, results: dict[str, Any]) -> list[dict[str, Any]]:
    if path is None or not path.exists():
        return []
    was = json.loads(path.read_text())
    same = all(was.get(k) == results[k] for k in ("device", "emulated", "size"))
    jobs: list[dict[str, Any]] = was["jobs"] if same and was["machine"]["gpu"] == results["machine"]["gpu"] else []
    return jobs


def _write(results: dict[str, Any], path: Path | None) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".part")
        half.write_text(json.dumps(results, indent=1) + "\n")
        half.replace(path)


# Rendering


def render(results: dict[str, Any]) -> str:
    """The Markdown tables, every number out of ``results``."""
    lines = [_EMULATED, ""] if results["emulated"] else []
    lines += [*_heading(results), ""]
    lines += ["| job | library | median ms | min ms | of copy speed | fastprep is | difference |"]
    lines += ["|---|---|--:|--:|--:|--:|--:|"]
    for job in results["jobs"]:
        if "error" in job:
            lines.append(f"| {job['name']} | not measured: {_cell(job['error'])} |" + " |" * 5)
            continue
        title = job["name"]
        for row in job["rows"]:
            lines.append(_line(title, row, job))
            title = ""
    lines += ["", "| job | target | measured | |", "|---|---|--:|---|"]
    for job in results["jobs"]:
        lines += [_verdict(job["name"], target, results["emulated"]) for target in job.get("targets", ())]
    notes = [f"{job['name']}: {job['note']}." for job in results["jobs"] if job.get("note")]
    legend = (
        "Medians over CUDA events, the contestants in turns, each call on the next of three copies of the input, "
        "outputs compared first. Of copy speed: input read once in its own dtype and output written once, over the "
        "median, as a share of a large copy on the same device. fastprep is: its median against the library's; below "
        "1x it loses. Difference: largest absolute difference to fastprep on the library's own grid; a row marked "
        "with ! differs by more than rounding and no target counts it. Rows in italics are baselines or compilers."
    )
    return "\n".join([*lines, "", legend, *notes])


def _heading(results: dict[str, Any]) -> list[str]:
    machine, source = results["machine"], results["input"]
    text = f"{machine['gpu']}"
    if machine.get("driver"):
        text += f", driver {machine['driver']}, CUDA {machine['cuda']}"
    text += f", {machine['system']}, {machine['date']}."
    if "copy_bandwidth_gb_s" in machine:
        at_end = machine.get("copy_bandwidth_at_end_gb_s")
        text += f" Copy bandwidth in this run: {machine['copy_bandwidth_gb_s']:.0f} GB/s at the start"
        text += "" if at_end is None else f", {at_end:.0f} at the end"
        text += " (read + write)."
    shape, spacing = "x".join(map(str, source["shape"])), " x ".join(f"{s:g}" for s in source["spacing_mm"])
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    return [
        text,
        f"Input: {source['source']}, {shape} int16, {spacing} mm.",
        f"Python {machine['python']}; {versions}.",
    ]


def _line(title: str, row: dict[str, Any], job: dict[str, Any]) -> str:
    name = row["name"] if row["is_peer"] else f"*{row['name']}*"
    median = row.get("median_ms")
    if median is None:
        return f"| {title} | {name} | {_cell(row['error'] or 'not run: out of time')} |" + " |" * 4
    first = job["rows"][0]
    ours = first.get("median_ms")
    share = job["bytes"] / median / (job["copy_bandwidth_gb_s"] * 1e6)
    cells = [
        title,
        name,
        f"{median:.3f}",
        f"{row['min_ms']:.3f}",
        f"{share:.0%}" if job["clock"] == "device" else "",
        f"{median / ours:.2f}x" if ours and row is not first else "",
        _cell(row["difference"]) + (" !" if row["agrees"] is False else ""),
    ]
    return "| " + " | ".join(cells) + " |"


def _verdict(name: str, target: dict[str, Any], emulated: bool) -> str:
    got = "" if target["got"] is None else _UNITS[target["kind"]].format(target["got"])
    met = {True: "met", False: "**missed**", None: "not measured"}[target["met"]]
    return f"| {name} | {target['text']} | {got} | {'emulated' if emulated else met} |"


def _cell(value: Any) -> str:
    text = "" if value is None else f"{value:.2g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|")
