"""The GPU benchmarks at toy size: every job runs, every output agrees, and nothing emulated is published."""

from __future__ import annotations

import importlib
import json
import sys
import time
import types
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest

import emulator

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.gpu


@contextmanager
def benchmarks(monkeypatch):
    """The modules of benchmarks/, which no package holds, by name; peers may warn."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield importlib.import_module


@pytest.fixture
def module(monkeypatch):
    with benchmarks(monkeypatch) as load:
        if not load("_cuda").cuda_is_here() and emulator.missing():
            pytest.skip(emulator.missing())
        yield load


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One run of all jobs through the command line, and what it changed in the repository."""
    monkeypatch = pytest.MonkeyPatch()
    out = tmp_path_factory.mktemp("bench")
    watched = [ROOT / "README.md", *sorted((ROOT / "benchmarks" / "results").iterdir())]
    before = {path: path.read_bytes() for path in watched}
    try:
        with benchmarks(monkeypatch) as load:
            if not load("_cuda").cuda_is_here() and emulator.missing():
                pytest.skip(emulator.missing())
            command = ["run.py", "--device", "cuda", "--size", "small", "--repeats", "1", "--output", str(out)]
            monkeypatch.setattr(sys, "argv", command)
            # That lanes come in any order is for the tests of kernels.
            monkeypatch.setattr(emulator, "ORDERS", emulator.ORDERS[:1])
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(load("_harness"), "quiet", lambda: None)
                load("run").main()
    finally:
        monkeypatch.undo()
    (path,) = out.iterdir()
    results = sorted((ROOT / "benchmarks" / "results").iterdir())
    return json.loads(path.read_text()), before == {p: p.read_bytes() for p in [ROOT / "README.md", *results]}


def test_every_job_is_measured_and_every_output_agrees(module, whole):
    results, _ = whole
    assert [job["key"] for job in results["jobs"]] == list(module("bench_cuda").JOBS)
    for job in results["jobs"]:
        assert "error" not in job, job
        first = job["rows"][0]
        assert first["error"] is None and first["ms"], first
        for row in job["rows"]:
            missing = row["error"] is not None and row["error"].startswith("not installed")
            assert missing or (row["error"] is None and row["ms"]), row
            assert missing or row["agrees"] is not False, (job["key"], row["name"], row["difference"])


def test_every_target_is_judged(whole):
    results, _ = whole
    asked = [target for job in results["jobs"] for target in job["targets"]]
    assert len(asked) == 40
    assert all(target["got"] is not None for target in asked if target["kind"] != "peer")


def test_toy_sizes_and_emulated_devices_are_not_published(module, whole):
    results, untouched = whole
    assert untouched
    cuda = module("_cuda_run")
    assert not cuda.is_publishable(results)
    assert cuda.is_publishable({**results, "emulated": False, "size": "full"})
    assert ("mean nothing" in cuda.render(results)) == results["emulated"]


def test_the_full_size_asks_for_a_device(module, monkeypatch):
    cuda = module("_cuda_run")
    monkeypatch.setattr(cuda, "cuda_is_here", lambda: False)
    with pytest.raises(SystemExit, match="--size small"):
        cuda.run([], "full", None, 1, 0.1, 1)


def test_one_job_measured_again_keeps_the_others_of_the_file(module, tmp_path):
    run, path = module("_cuda_run").run, tmp_path / "some.json"
    run(["crop-or-pad"], "small", path, 1, 0.1, 1)
    results, written = run(["launch"], "small", path, 1, 0.1, 1)
    assert written == path
    assert [job["key"] for job in results["jobs"]] == ["launch", "crop-or-pad"]
    assert json.loads(path.read_text()) == results


def test_what_was_measured_before_time_ran_out_is_kept(module, tmp_path, capsys):
    results, _ = module("_cuda_run").run([], "small", tmp_path, 1, 0.1, 0)
    assert results["jobs"] == []
    assert "not run: window-float32" in capsys.readouterr().out


def test_missing_broken_and_wrong_peers_are_rows(module, monkeypatch):
    measure, cuda = module("_cuda_measure"), module("_cuda")

    def broken():
        raise RuntimeError("boom")

    def missing():
        importlib.import_module("no_such_peer")

    with cuda.open_lab() as lab:
        x = lab.put(module("numpy").arange(64.0, dtype="float32").reshape(4, 4, 4))
        call = lambda i: x  # noqa: E731
        contestants = [
            measure.Contestant("fastprep", lambda: call),
            measure.Contestant("missing", missing),
            measure.Contestant("broken", broken),
            measure.Contestant("wrong", lambda: lambda i: lab.native(x) + 1),
            measure.Contestant("right", lambda: call),
            measure.Contestant("not a number", lambda: lambda i: lab.native(x) * float("nan")),
            measure.Contestant("other shape", lambda: lambda i: lab.native(x)[1:]),
        ]
        job = measure.Job("k", "name", contestants, 1, (measure.Target("peer", 3),))
        found = measure.measure(lab, job, 2, 1.0, time.monotonic() + 60, 1e9)
    rows = {row["name"]: row for row in found["rows"]}
    assert rows["missing"]["error"] == "not installed: no_such_peer"
    assert rows["broken"]["error"] == "RuntimeError: boom"
    assert (rows["wrong"]["difference"], rows["wrong"]["agrees"]) == (1.0, False)
    assert (rows["right"]["difference"], rows["right"]["agrees"]) == (0.0, True)
    assert (rows["not a number"]["difference"], rows["not a number"]["agrees"]) == ("nan", False)
    assert "shapes" in rows["other shape"]["difference"] and rows["other shape"]["agrees"] is False
    right, ours = rows["right"]["median_ms"], rows["fastprep"]["median_ms"]
    assert found["targets"][0]["got"] == pytest.approx(right / ours)


def test_a_batch_is_one_launch(module):
    cuda = module("_cuda")
    if cuda.cuda_is_here():
        pytest.skip("counted on the emulator")
    data = module("_cuda_data")
    with cuda.open_lab() as lab:
        job = module("bench_cuda").JOBS["launch"](data.Data(lab, data.SIZES["small"]))
        for contestant in job.contestants[:3]:
            call = contestant.prepare()
            call(0)
            lab.driver.log.clear()
            call(0)
            assert (lab.driver.count("launch"), lab.driver.count("upload")) == (1, 0), contestant.name


@pytest.fixture
def cuda_lab(module, monkeypatch):
    """The lab of a real device over a CuPy that is NumPy: its calls by name, and what they are given."""
    import numpy as np

    calls = []

    class Runtime:
        memcpyHostToDevice, memcpyDeviceToDevice = 1, 3

        def __getattr__(self, name):
            return lambda *given: calls.append((name, given))

        def getDevice(self):
            return 0

        def getDeviceProperties(self, device):
            return {"name": b"NVIDIA H200", "totalGlobalMem": 2**30, "l2CacheSize": 2**20}

        def runtimeGetVersion(self):
            return 13000

        driverGetVersion = runtimeGetVersion

    class Event:
        def record(self, stream):
            calls.append(("record", (stream,)))

        def synchronize(self):
            calls.append(("wait", ()))

    class Array:
        def __init__(self, x):
            self.nbytes, self.data = x.nbytes, types.SimpleNamespace(ptr=x.ctypes.data)

    stream = types.SimpleNamespace(ptr=0)
    device = types.SimpleNamespace(
        runtime=Runtime(),
        Stream=types.SimpleNamespace(null=stream),
        Event=Event,
        get_elapsed_time=lambda start, stop: 2.0,
    )
    pool = types.SimpleNamespace(free_all_blocks=lambda: calls.append(("free", ())))
    fake = types.SimpleNamespace(
        cuda=device,
        empty=lambda n, dtype: Array(np.empty(1, dtype)),
        asarray=Array,
        get_default_memory_pool=lambda: pool,
    )
    for name, made in {"cupy": fake, "cupyx.scipy.ndimage": types.SimpleNamespace()}.items():
        monkeypatch.setitem(sys.modules, name, made)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(module("_cuda"), "_COPY_BYTES", 64)
    return module("_cuda").CudaLab(), calls


def test_a_real_device_is_timed_by_events_around_the_call(cuda_lab):
    lab, calls = cuda_lab
    assert lab.device_ms(lambda: calls.append(("call", ()))) == 2.0
    names = [name for name, _ in calls]
    assert names == ["deviceSynchronize", "memsetAsync", "record", "call", "record", "wait"]
    calls.clear()
    lab.device_ms(lambda: None, busy=False)
    assert "memsetAsync" not in [name for name, _ in calls]


def test_a_real_device_tells_what_it_is_and_how_fast_it_copies(cuda_lab, monkeypatch):
    lab, calls = cuda_lab
    monkeypatch.setattr(type(lab), "warm", lambda self: None)
    facts = lab.facts()
    assert (facts["gpu"], facts["cuda"], facts["gpu_memory_gib"]) == ("NVIDIA H200", "13.0", 1.0)
    assert lab.copy_bandwidth() == pytest.approx(2 * 64 / 2e-3)
    assert {given[2:] for name, given in calls if name == "memcpyAsync"} == {(64, 3, 0)}
