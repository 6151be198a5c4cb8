"""The table, the files and the tests are held to each other."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastprep
from fastprep.core.errors import ArgumentError, DTypeError, NoKernelError
from fastprep.registry import BACKENDS, NONE, TABLE, Op, kernel, which
from fastprep.registry import backend as use_backend

ROOT = Path(__file__).resolve().parents[1]
OPS, KERNELS, TESTS = ROOT / "fastprep" / "ops", ROOT / "kernels", ROOT / "tests"
#: Pages of fastprep/ops that hold constants, not an operation.
CONSTANTS = {"presets"}


class Elsewhere:
    """An array on a device, as DLPack tells it."""

    shape = (2, 2)

    def __init__(self, device_type: int) -> None:
        self.device_type = device_type

    def __dlpack_device__(self) -> tuple[int, int]:
        return (self.device_type, 0)


GPU = Elsewhere(2)


def by_name(row: Op) -> str:
    return row.name


def stems(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}


def offered(backend: str) -> set[str]:
    return {name for row in TABLE if getattr(row, backend) != NONE for name in row.kernels}


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", TABLE, ids=by_name)
def test_op_has_page_test_and_public_name(row: Op) -> None:
    assert row.name in functions(OPS / f"{row.name}.py")
    assert (TESTS / f"test_{row.name}.py").is_file()
    assert getattr(fastprep, row.name) is getattr(importlib.import_module(f"fastprep.ops.{row.name}"), row.name)


@pytest.mark.parametrize("row", TABLE, ids=by_name)
@pytest.mark.parametrize("backend", BACKENDS)
def test_kernels_of_row_exist(row: Op, backend: str) -> None:
    if getattr(row, backend) != NONE:
        for name in row.kernels:
            assert name in functions(KERNELS / backend / f"{name}.py")


@pytest.mark.parametrize("backend", BACKENDS)
def test_kernel_files_belong_to_rows(backend: str) -> None:
    assert stems(KERNELS / backend) == offered(backend)


def test_cuda_sources_have_launchers() -> None:
    sources = {path.stem for path in (KERNELS / "gpu").glob("*.cu")}
    assert sources == stems(KERNELS / "gpu")


def test_op_pages_are_rows() -> None:
    assert stems(OPS) - CONSTANTS == {row.name for row in TABLE}


def test_rows_are_sound() -> None:
    names = [row.name for row in TABLE]
    assert len(set(names)) == len(names)
    for row in TABLE:
        assert row.kernels, row
        assert row.reference in ("numpy", "scipy"), row
        assert row.cpu in ("numba", NONE), row
        assert row.gpu in ("cuda", "cupy", NONE), row
        assert row.splits in ("pointwise", "slabs", "whole"), row
        assert 0 <= row.tolerance <= 1e-3, row


@pytest.mark.parametrize("name", sorted(offered("reference")))
def test_signatures_are_equal_on_every_backend(name: str) -> None:
    signatures = {}
    for backend in BACKENDS:
        if name in offered(backend):
            module = importlib.import_module(f"fastprep.kernels.{backend}.{name}")
            parameters = inspect.signature(getattr(module, name)).parameters.values()
            signatures[backend] = [(p.name, p.kind, p.default) for p in parameters]
    assert all(signature == signatures["reference"] for signature in signatures.values()), signatures


def test_reference_is_complete() -> None:
    assert all(offered(backend) <= offered("reference") for backend in BACKENDS)


@pytest.mark.parametrize("row", TABLE, ids=by_name)
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_which_names_backend_technology_and_kernels(row: Op, backend: str) -> None:
    with use_backend(backend):
        assert which(row.name, np.zeros((2, 2))) == f"{backend}: {getattr(row, backend)} ({', '.join(row.kernels)})"


def test_host_arrays_run_on_cpu_by_default() -> None:
    assert which("resample", np.zeros((2, 2))) == "cpu: numba (resample, take, onehot)"
    assert fastprep.which is which


def test_gpu_arrays_run_on_cuda() -> None:
    with use_backend("cpu"):  # data does not move to another backend
        for row in TABLE:
            assert which(row.name, GPU) == f"gpu: {row.gpu} ({', '.join(row.kernels)})"


@pytest.fixture
def no_gpu_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastprep.registry.TABLE", tuple(row._replace(gpu=NONE) for row in TABLE))


@pytest.mark.usefixtures("no_gpu_kernels")
@pytest.mark.parametrize("row", TABLE, ids=by_name)
def test_no_gpu_kernel_says_what_exists_and_how_to_move(row: Op) -> None:
    with pytest.raises(NoKernelError, match=rf"(?s){row.name}.*reference, cpu.*x\.cpu\(\).*x\.get\(\)") as caught:
        which(row.name, GPU)
    assert isinstance(caught.value, NotImplementedError)
    for name in row.kernels:
        with pytest.raises(NoKernelError, match=name):
            kernel(name, GPU)


@pytest.mark.usefixtures("no_gpu_kernels")
def test_operation_on_a_device_without_kernel_names_the_way_out() -> None:
    with use_backend("cpu"), pytest.raises(NoKernelError, match="pass x.cpu"):
        fastprep.window(GPU, preset="lung")


def test_managed_memory_is_a_gpu_and_pinned_memory_the_host() -> None:
    with use_backend("reference"):
        assert which("window", Elsewhere(3)).startswith("reference")
        assert which("window", Elsewhere(13)).startswith("gpu")


@pytest.mark.parametrize("device_type", [4, 8, 10])
def test_unknown_device(device_type: int) -> None:
    with pytest.raises(DTypeError, match=f"DLPack device {device_type}"):
        which("window", Elsewhere(device_type))


@pytest.mark.parametrize("x", [[1, 2], 3.0, None, "scan", memoryview(b"ab")])
def test_no_array(x: Any) -> None:
    with pytest.raises(DTypeError, match=f"x of type {type(x).__name__}: expected an array"):
        which("window", x)


@pytest.mark.parametrize("name", ["resampel", "", "ramp", "Resample"])
def test_unknown_op_lists_the_known(name: str) -> None:
    with pytest.raises(ArgumentError, match=rf"op={name!r}: expected one of .*resample"):
        which(name, np.zeros(2))


@pytest.mark.parametrize("name", ["gpu", "numba", ""])
def test_only_host_backends_can_be_forced(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"backend={name!r}"), use_backend(name):
        pass


def test_forcing_ends_with_the_block_and_nests() -> None:
    x = np.zeros(2)
    with use_backend("reference"):
        with use_backend("cpu"):
            assert which("window", x).startswith("cpu")
        assert which("window", x).startswith("reference")
    with pytest.raises(KeyError), use_backend("reference"):
        raise KeyError
    assert which("window", x).startswith("cpu")


def test_forced_backend_really_runs(backend: str) -> None:
    """The kernel handed out is the backend's own function."""
    x = GPU if backend == "gpu" else np.zeros(2)
    for name in offered(backend):
        assert kernel(name, x).__module__ == f"fastprep.kernels.{backend}.{name}"


def test_without_numba_reference_runs_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastprep import registry

    registry._host_backend.cache_clear()
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    try:
        with pytest.warns(RuntimeWarning, match="Numba is not installed"):
            assert which("window", np.zeros(2)).startswith("reference")
        # A second warning would be an error here.
        assert which("window", np.zeros(2)).startswith("reference")
    finally:
        registry._host_backend.cache_clear()
