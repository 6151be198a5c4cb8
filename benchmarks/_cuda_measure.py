"""GPU jobs, their rows and their targets: outputs compared first, then timed in turns.

A job is one piece of work; its first contestant is fastprep. Every row's speed counts the same compulsory bytes, the
job's input read once and fastprep's output written once, however much a library moves.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import _harness as h
import numpy as np
from _cuda import Lab

#: A contestant whose first warm call takes longer is called less often.
_SLOW_MS = 1000.0
_QUEUED = 200


@dataclass(frozen=True)
class Contestant:
    """``prepare()`` imports the library, builds its inputs, and returns ``call(i)``, which takes input i in turn.

    ``expected()`` is fastprep's answer on the contestant's own grid, where that differs; ``inside(a, b)`` masks the
    planes a to b that may be compared. Without ``is_peer`` a row is a baseline that no target speaks of.
    """

    name: str
    prepare: Callable[[], Callable[[int], Any]]
    expected: Callable[[], Any] | None = None
    unpack: Callable[[Any], Any] = lambda result: result
    inside: Callable[[int, int], Any] | None = None
    is_peer: bool = True
    #: What the call does so many times over.
    calls: int = 1


@dataclass(frozen=True)
class Target:
    """What the job asks: ``wanted`` of a kind, for the row ``row`` (fastprep's first).

    "copy": at least this share of copy bandwidth. "ms", "us": at most. "peer": times the fastest peer of equal output,
    at least. "trips": at most so many times ``unit_bytes`` at copy bandwidth. "over": at most this above ``other``.
    """

    kind: Literal["copy", "ms", "us", "peer", "trips", "over"]
    wanted: float
    row: str = ""
    other: str = ""
    unit_bytes: int = 0


@dataclass(frozen=True)
class Job:
    """A row group; its outputs agree within ``tolerance``.

    ``clock`` is "device" (events around a call, the host ahead of it), "upload" (events on an idle device, since copies
    on another stream would begin before the first), or "host" (the host's time per call, many queued).
    """

    key: str
    name: str
    contestants: Sequence[Contestant]
    bytes_in: int
    targets: Sequence[Target] = ()
    clock: Literal["device", "upload", "host"] = "device"
    tolerance: float = 1e-3
    note: str = ""
    #: Where the output of the call is not all that must be written.
    bytes_out: int | None = None


def measure(lab: Lab, job: Job, repeats: int, budget_s: float, deadline: float, bandwidth: float) -> dict[str, Any]:
    """The job's plain result; ``deadline`` is on the monotonic clock."""
    rows = {c.name: _row(c) for c in job.contestants}
    calls: dict[str, Callable[[int], Any]] = {}
    base: Any = None
    written = 0
    for contestant in job.contestants:
        row = rows[contestant.name]
        if calls and time.monotonic() > deadline:
            row["error"] = "not run: out of time"
            continue
        try:
            calls[contestant.name], out = _first(lab, contestant, row)
            if base is None and contestant is job.contestants[0]:
                base, written = out, int(out.nbytes)
            _compare(lab, job, contestant, row, base, out)
            del out
            row["warm_ms"] = lab.device_ms(lambda: calls[contestant.name](1), busy=job.clock == "device")  # noqa: B023
        except Exception as error:  # a missing peer is a line of the table
            calls.pop(contestant.name, None)
            row["error"] = _why(error)
        print(f"  {contestant.name}: {_said(row)}", flush=True)
    del base
    with _quiet_collector():
        lab.warm()
        _take_turns(lab, job, rows, calls, repeats, budget_s * 1e3, deadline)
    found = {
        "key": job.key,
        "name": job.name,
        "note": job.note,
        "clock": job.clock,
        "bytes": job.bytes_in + (written if job.bytes_out is None else job.bytes_out),
        "copy_bandwidth_gb_s": bandwidth / 1e9,
        "tolerance": job.tolerance,
        "rows": [_finished(row) for row in rows.values()],
    }
    found["targets"] = [_judged(target, found) for target in job.targets]
    return found


def difference(xp: Any, a: Any, b: Any, inside: Callable[[int, int], Any] | None = None) -> float:
    """Largest absolute difference, NaN if there is one; of integers the fraction of voxels that differ."""
    if a.shape != b.shape:
        msg = f"shapes {a.shape} and {b.shape}"
        raise ValueError(msg)
    labels = a.dtype.kind in "iu" and b.dtype.kind in "iu"
    found = []
    for start in range(0, len(a), 32):
        p, q = a[start : start + 32], b[start : start + 32]
        gap = p != q if labels else xp.abs(p.astype(np.float64) - q.astype(np.float64))
        if inside is not None:
            gap = xp.where(inside(start, start + len(p)), gap, 0)
        found.append(float(gap.sum()) / a.size if labels else float(gap.max()))
    return float(np.sum(found) if labels else np.max(found))


def _row(contestant: Contestant) -> dict[str, Any]:
    return {
        "name": contestant.name,
        "is_peer": contestant.is_peer,
        "calls": contestant.calls,
        "shape": None,
        "dtype": None,
        "difference": None,
        "agrees": None,
        "first_call_s": None,
        "warm_ms": None,
        "error": None,
        "ms": [],
    }


def _first(lab: Lab, contestant: Contestant, row: dict[str, Any]) -> tuple[Callable[[int], Any], Any]:
    call = contestant.prepare()
    start = time.perf_counter()
    result = call(0)
    lab.synchronize()
    row["first_call_s"] = time.perf_counter() - start
    out = lab.native(contestant.unpack(result))
    row["shape"], row["dtype"] = list(out.shape), str(out.dtype)
    return call, out


def _compare(lab: Lab, job: Job, contestant: Contestant, row: dict[str, Any], base: Any, out: Any) -> None:
    """The difference to fastprep; a comparison that fails is shown in its place."""
    if contestant is job.contestants[0] and contestant.expected is None:
        return
    try:
        expected = base if contestant.expected is None else lab.native(contestant.expected())
        if expected is None:
            row["difference"] = "nothing to compare with"
            return
        gap = difference(lab.xp, expected, out, contestant.inside)
    except Exception as error:  # the table says why nothing was compared
        row["difference"] = h.reason(error)
        row["agrees"] = False
        return
    row["difference"] = gap if np.isfinite(gap) else str(gap)
    row["agrees"] = bool(gap <= job.tolerance)


def _take_turns(
    lab: Lab,
    job: Job,
    rows: dict[str, dict[str, Any]],
    calls: dict[str, Callable[[int], Any]],
    repeats: int,
    budget_ms: float,
    deadline: float,
) -> None:
    count = 3 if lab.emulated else _QUEUED
    for turn in range(repeats):
        names = list(calls)
        shift = turn % max(len(names), 1)
        for name in names[shift:] + names[:shift]:
            row, call = rows[name], calls[name]
            least = 2 if row["warm_ms"] > _SLOW_MS else 5
            late = time.monotonic() > deadline and turn > 0
            if late or (turn >= least and sum(row["ms"]) * row["calls"] + row["warm_ms"] > budget_ms):
                continue
            try:
                if job.clock == "host":
                    ms = lab.host_ms(call, count)
                else:
                    ms = lab.device_ms(lambda: call(turn), busy=job.clock == "device")  # noqa: B023
            except Exception as error:  # out of memory, say: the others go on
                row["error"] = _why(error)
                del calls[name]
                continue
            row["ms"].append(ms / row["calls"])


@contextmanager
def _quiet_collector() -> Any:
    """Python's collector takes a tenth of a second with all peers imported: before the turns, not between them."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def _why(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"not installed: {error.name}"
    return ("cannot be imported: " if isinstance(error, ImportError) else "") + h.reason(error)


def _said(row: dict[str, Any]) -> str:
    if row["error"]:
        return str(row["error"])
    gap = "" if row["difference"] is None else f", difference {row['difference']}"
    disagrees = " DISAGREES" if row["agrees"] is False else ""
    return f"{tuple(row['shape'])} {row['dtype']}, first call {row['first_call_s']:.2f} s{gap}{disagrees}"


def _finished(row: dict[str, Any]) -> dict[str, Any]:
    if row["ms"]:
        quarter, three_quarters = np.percentile(row["ms"], (25, 75))
        row["median_ms"], row["min_ms"] = statistics.median(row["ms"]), min(row["ms"])
        row["iqr_ms"] = float(three_quarters - quarter)
    return row


# Targets


def _judged(target: Target, job: dict[str, Any]) -> dict[str, Any]:
    """The target, what was measured, and whether it is met; None where nothing was."""
    medians = {row["name"]: row.get("median_ms") for row in job["rows"]}
    name = target.row or job["rows"][0]["name"]
    ours, speed = medians[name], job["copy_bandwidth_gb_s"] * 1e6  # bytes per ms
    of = f"{name}: " if target.row else ""
    got: float | None = None
    if target.kind == "copy":
        text, got = f"{target.wanted:.0%} of copy bandwidth", ours and job["bytes"] / ours / speed
    elif target.kind == "ms":
        text, got = f"at most {target.wanted:g} ms", ours
    elif target.kind == "us":
        text, got = f"at most {target.wanted:g} us", ours and ours * 1e3
    elif target.kind == "trips":
        text, got = f"at most {target.wanted:g} round trips", ours and ours * speed / target.unit_bytes
    elif target.kind == "over":
        text, other = f"at most {target.wanted:.0%} above {target.other}", medians[target.other]
        got = ours / other - 1 if ours and other else None
    else:
        peers = [r["median_ms"] for r in job["rows"][1:] if r["is_peer"] and r["agrees"] and r.get("median_ms")]
        text, got = f"{target.wanted:g}x the fastest peer", min(peers) / ours if peers and ours else None
    at_least = target.kind in ("copy", "peer")
    met = None if got is None else (got >= target.wanted if at_least else got <= target.wanted)
    return {"text": of + text, "kind": target.kind, "wanted": target.wanted, "got": got, "met": met}
