"""Run the benchmarks, write ``results/<machine>-<date>.json``, and put its table into the README.

python benchmarks/run.py                      everything
python benchmarks/run.py ramp resample        some
python benchmarks/run.py bias                 the bias correctors, on an MR scan: a table of their own
python benchmarks/run.py statistics           percentiles, moments and normalisers, likewise
python benchmarks/run.py components           connected components, metal and lungs, likewise
python benchmarks/run.py enhance              CLAHE, denoising and image quality, likewise
python benchmarks/run.py bias --only poly     jobs of that name, the others as they were measured before
python benchmarks/run.py --render FILE.json   only the README, from an earlier run
python benchmarks/run.py --quality            how well the bias correctors do on a phantom, instead of how fast
python benchmarks/run.py --quality denoise    likewise the denoisers

python benchmarks/run.py --device cuda                       the GPU jobs, on the GPU that is here
python benchmarks/run.py --device cuda --only linear cubic   some; --output FILE.json keeps the others of that file
python benchmarks/run.py --device cuda --size small          all at toy size, without a GPU on the emulator
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
from pathlib import Path
from typing import Any

import _harness as h

HERE = Path(__file__).resolve().parent
BENCHES = ("ramp", "resample", "pipeline")
BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"
#: Each with a table of its own.
APART = ("bias", "statistics", "components", "enhance")


def main() -> None:
    """Command line."""
    h.quiet()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=f"of {', '.join(BENCHES)}; default all")
    parser.add_argument("--threads", type=int, default=2, help="for fastprep and every peer")
    parser.add_argument("--repeats", type=int, help="timed calls per contestant at most; default 15, cuda 30")
    parser.add_argument("--budget", type=float, help="seconds of timed calls per contestant; default 60, cuda 1")
    parser.add_argument("--no-probe", action="store_true", help="no fresh processes: no cold start, no peak memory")
    parser.add_argument("--no-readme", action="store_true", help="leave the README as it is")
    parser.add_argument("--render", type=Path, metavar="JSON", help="render an earlier run, measure nothing")
    parser.add_argument(
        "--quality", nargs="?", const="bias", choices=("bias", "denoise"), help="judge the correctors, time nothing"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="JOB", help="measure these jobs alone, and keep the file's others"
    )
    cuda = parser.add_argument_group("with --device cuda")
    cuda.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    cuda.add_argument(
        "--size", choices=("full", "small"), default="full", help="small: to try the jobs, not to time them"
    )
    cuda.add_argument("--output", type=Path, metavar="PATH", help="a .json file or a folder, instead of results/")
    cuda.add_argument("--minutes", type=float, default=5.5, help="no job is begun and no peer prepared after that")
    options = parser.parse_args()
    if options.device == "cuda":
        main_cuda(parser, options)
        return
    apart = set(options.benches) & set(APART)
    if set(options.benches) - {*BENCHES, *APART} or (apart and len(options.benches) > 1):
        expected = f"some of {', '.join(BENCHES)}, or one of {', '.join(APART)} alone"
        parser.error(f"benches {', '.join(options.benches)}: expected {expected}")
    if options.render:
        results = json.loads(options.render.read_text())
        if results.get("device") == "cuda":
            publish_cuda(results, readme=not options.no_readme)
            return
        if "quality" in results:
            publish_quality(results, readme=not options.no_readme)
            return
    elif options.quality:
        quality = importlib.import_module(f"quality_{options.quality}")
        results = quality.run(threads=options.threads)
        write(results, f"-quality-{options.quality}")
        publish_quality(results, readme=not options.no_readme)
        return
    else:
        chosen = options.benches or list(BENCHES)
        repeats, budget = options.repeats or 15, options.budget or 60.0
        what = f"-{options.benches[0]}" if apart else ""
        results = run(chosen, options.threads, repeats, budget, options.only, probe=not options.no_probe)
        if options.only:
            results = among_earlier(results, what)
        write(results, what)
    table = render(results)
    print(table)
    if not options.no_readme:
        bench = results["jobs"][0]["bench"]
        apart = (f"<!-- benchmarks-{bench}:begin -->", f"<!-- benchmarks-{bench}:end -->")
        blocks = apart if bench in APART else (BEGIN, END)
        replace_block(h.ROOT / "README.md", table, *blocks)


def main_cuda(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """The GPU jobs."""
    cuda = importlib.import_module("_cuda_run")
    unknown = set(options.only) - set(cuda.JOBS)
    if unknown or options.benches:
        parser.error(f"--device cuda takes --only with of {', '.join(cuda.JOBS)}")
    repeats, budget = options.repeats or 30, options.budget or 1.0
    results, path = cuda.run(options.only, options.size, options.output, repeats, budget, options.minutes)
    if path is not None:
        print(f"wrote {path.name}")
    publish_cuda(results, readme=not options.no_readme)


def publish_cuda(results: dict[str, Any], *, readme: bool) -> None:
    """Print the GPU tables, and put them into the README when they are whole and from a real device."""
    cuda = importlib.import_module("_cuda_run")
    tables = cuda.render(results)
    print(tables)
    if readme and cuda.is_publishable(results):
        replace_block(h.ROOT / "README.md", tables, cuda.BEGIN, cuda.END)


def publish_quality(results: dict[str, Any], *, readme: bool) -> None:
    """Print the quality table, and put it into the README."""
    quality = importlib.import_module(f"quality_{results['quality']}")
    table = quality.render(results)
    print(table)
    if readme:
        replace_block(h.ROOT / "README.md", table, quality.BEGIN, quality.END)


def write(results: dict[str, Any], what: str = "") -> None:
    """Keep a result under the machine and the date."""
    path = HERE / "results" / f"{_slug(results['machine'])}{what}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(f"wrote {path.relative_to(h.ROOT)}")


def among_earlier(results: dict[str, Any], what: str) -> dict[str, Any]:
    """The jobs of a result in the place of theirs in the file of this machine and date."""
    path = HERE / "results" / f"{_slug(results['machine'])}{what}.json"
    if not path.exists():
        return results
    earlier = json.loads(path.read_text())
    new = {job["name"]: job for job in results["jobs"]}
    jobs = [new.pop(job["name"], job) for job in earlier["jobs"]]
    return {**earlier, "jobs": [*jobs, *new.values()]}


def run(
    benches: list[str], threads: int, repeats: int, budget_s: float, only: list[str], *, probe: bool
) -> dict[str, Any]:
    """All jobs of the chosen files, or those whose names hold a word of ``only``, as one plain result."""
    h.set_threads(threads)
    machine = h.machine_facts(threads)
    own = importlib.import_module("bench_bias") if benches == ["bias"] else h
    scan = own.load_scan()
    found = []
    for bench in benches:
        script = HERE / f"bench_{bench}.py"
        for job in importlib.import_module(script.stem).jobs(scan):
            if only and not any(word in job.name for word in only):
                continue
            print(f"{job.name}", flush=True)
            rows = h.measure(job, repeats, budget_s, print)
            if probe and not job.whole_process:
                h.probe_all(script, job, rows, scan, print)
            found.append(
                {
                    "bench": bench,
                    "name": job.name,
                    "note": job.note,
                    "bytes_in": job.bytes_in,
                    "whole_process": job.whole_process,
                    "rows": [row.to_dict() for row in rows],
                }
            )
    # Again at the end: a machine whose bandwidth moved meanwhile was not quiet.
    machine["copy_bandwidth_at_end_gb_s"] = h.copy_bandwidth(threads) / 1e9
    shape, spacing = list(scan.array.shape), [round(s, 4) for s in scan.grid.spacing]
    return {
        "machine": machine,
        "input": {"source": scan.source, "shape": shape, "spacing_mm": spacing, "dtype": str(scan.array.dtype)},
        "repeats": repeats,
        "budget_s": budget_s,
        "jobs": found,
    }


def _slug(machine: dict[str, Any]) -> str:
    cpu = re.sub(r"\((R|TM)\)|CPU|@.*", " ", machine["cpu"])
    return "-".join(re.findall(r"[a-z0-9]+", f"{cpu} {machine['cores']}c {machine['date']}".lower()))


# Rendering


def render(results: dict[str, Any]) -> str:
    """The Markdown table, every number out of ``results``."""
    machine, source = results["machine"], results["input"]
    head = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads, {machine['system']}, "
        f"{machine['date']}. Copy bandwidth in this run: {machine['copy_bandwidth_gb_s']:.1f} GB/s at the start, "
        f"{machine['copy_bandwidth_at_end_gb_s']:.1f} at the end (read + write).\n"
        f"Input: {source['source']}, {'x'.join(map(str, source['shape']))} {source['dtype']}, "
        f"{' x '.join(f'{s:g}' for s in source['spacing_mm'])} mm.\n"
        f"Python {machine['python']}; " + ", ".join(f"{k} {v}" for k, v in machine["versions"].items()) + "."
    )
    lines = [
        head,
        "",
        "| job | library | median ms | min ms | fastprep is | target | difference | copy speed | first call s | MB |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for job in results["jobs"]:
        ours = job["rows"][0].get("median_s")
        title = job["name"]
        for row in job["rows"]:
            lines.append(_line(title, row, ours, job, machine["copy_bandwidth_gb_s"] * 1e9))
            title = ""
    notes = [f"{job['name']}: {job['note']}." for job in results["jobs"] if job["note"]]
    legend = (
        f"Warm calls, {results['repeats']} at most or {results['budget_s']:g} s per library, taken in turns. "
        "fastprep is: its median against the library's; below 1x it loses. Difference: largest absolute difference "
        "of the outputs, compared before timing, on the library's own grid. Copy speed: bytes in and out over the "
        "median, as a share of copy bandwidth. First call: import and input apart, in a fresh process with an empty "
        "Numba cache (in brackets: a filled one). MB: the peak a warm call adds to the process, its output included. "
        "Libraries marked * use one thread only. SimpleITK, MONAI and TorchIO start from their own image object."
    )
    return "\n".join([*lines, "", legend, *notes])


def _line(title: str, row: dict[str, Any], ours: float | None, job: dict[str, Any], bandwidth: float) -> str:
    name = row["name"] if row["threaded"] else f"{row['name']} *"
    median = row.get("median_s")
    if median is None:
        return f"| {title} | {name} | not run: {_cell(row['error'])} |" + " |" * 7
    ratio = median / ours if ours else None
    is_fastprep = row["name"] == "fastprep"
    target = "" if row["target"] is None else f"{row['target']:g}x"
    if target and ratio is not None:
        target += ", met" if ratio >= row["target"] else ", missed"
    share = "" if job["whole_process"] else f"{(job['bytes_in'] + row['bytes_out']) / median / bandwidth:.0%}"
    first = "" if row["first_call_s"] is None else f"{row['first_call_s']:.2f}"
    if row["cached_first_call_s"] is not None:
        first += f" ({row['cached_first_call_s']:.2f})"
    peak = "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:.0f}"
    cells = [
        title,
        name,
        f"{median * 1e3:.1f}",
        f"{row['min_s'] * 1e3:.1f}",
        "" if ratio is None or is_fastprep else f"{ratio:.2f}x",
        target,
        _cell(row["difference"]),
        share,
        first,
        peak,
    ]
    return "| " + " | ".join(cells) + " |"


def _cell(value: Any) -> str:
    text = "" if value is None else f"{value:.2g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|")


def replace_block(readme: Path, table: str, begin: str = BEGIN, end: str = END) -> None:
    """Put ``table`` between the markers of the README; without them, say so and change nothing."""
    text = readme.read_text() if readme.exists() else ""
    start, stop = text.find(begin), text.find(end)
    if start < 0 or stop < start:
        print(f"{readme.name} has no {begin} ... {end}: left as it is")
        return
    readme.write_text(f"{text[: start + len(begin)]}\n{table}\n{text[stop:]}")
    print(f"{readme.name}: table replaced")


if __name__ == "__main__":
    main()
