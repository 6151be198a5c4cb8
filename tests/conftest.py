"""Fixtures and profiles every test shares.

Hypothesis profiles: "ci" (default) draws the same examples on every run; `pytest --hypothesis-profile=explore` looks
for new ones.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, settings

# `python -m pytest` puts this checkout on the path, where fastprep has no kernels folder: test what is installed.
ROOT = Path(__file__).resolve().parents[1]
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != ROOT]
os.environ["PYTHONSAFEPATH"] = "1"  # the same for the programs that tests start

import emulated  # noqa: E402
import emulator  # noqa: E402
import fastprep.registry as registry  # noqa: E402
from fastprep.kernels.gpu import _compile  # noqa: E402

# JAX arrays of these tests are on the host, and of the dtypes asked for.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_ENABLE_X64", "1")

# A first example may compile a kernel, and the fixtures below are the same for every example.
_FREE = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
settings.register_profile("ci", derandomize=True, max_examples=50, **_FREE)
settings.register_profile("explore", max_examples=1000, **_FREE)
settings.load_profile("ci")


def pytest_collection_finish(session: pytest.Session) -> None:
    """What collecting made stays: the collector of garbage need not walk thousands of tests again and again."""
    gc.freeze()


def cuda_is_here() -> bool:
    """True on a machine with CuPy and a CUDA device."""
    return importlib.util.find_spec("cupy") is not None and importlib.import_module("cupy").cuda.is_available()


@contextmanager
def cuda() -> Iterator[Callable[[npt.ArrayLike], Any]]:
    """Moves NumPy arrays to the CUDA device, inside; without one to the emulated device, which runs the same source."""
    if cuda_is_here():
        cupy = importlib.import_module("cupy")
        yield lambda x: cupy.asarray(x)
        return
    why_not = emulator.missing()
    if why_not:
        pytest.skip(why_not)
    with emulated.use():
        yield emulated.put


@pytest.fixture
def gpu() -> Iterator[Callable[[npt.ArrayLike], Any]]:
    """Moves a NumPy array to the GPU; for tests of it alone."""
    with cuda() as move:
        yield move


@pytest.fixture
def driver() -> Iterator[emulated.Driver]:
    """The emulated driver, whose log tells every call; on a machine with a GPU, too."""
    with emulated.use() as talk:
        yield talk


@pytest.fixture
def no_cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where CuPy is not installed."""
    before = _compile.use_driver(None)
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.delitem(sys.modules, "fastprep.kernels.gpu._cupy", raising=False)
    yield
    _compile.use_driver(before)


@pytest.fixture(params=["reference", "cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each backend by name; host arrays run on it inside the test. For "gpu" move them there with `put`."""
    name: str = request.param
    with cuda() if name == "gpu" else registry.backend(name):
        yield name


@pytest.fixture
def put(backend: str) -> Callable[[npt.ArrayLike], Any]:
    """Moves a NumPy array to where `backend` runs: nowhere for the host, to CuPy or the emulated device for "gpu"."""
    if backend != "gpu":
        return np.asarray
    return importlib.import_module("cupy").asarray if cuda_is_here() else emulated.put


@dataclass(frozen=True)
class Library:
    """An array library under test: ``asarray`` makes its array of a NumPy array, values and dtype unchanged."""

    name: str
    asarray: Callable[[npt.NDArray[Any]], Any]


def _read_only(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    copy = np.array(x)
    copy.setflags(write=False)
    return copy


def _torch(x: npt.NDArray[Any]) -> Any:
    return importlib.import_module("torch").from_numpy(np.array(x))


LIBRARIES: dict[str, tuple[str, Callable[[npt.NDArray[Any]], Any]]] = {
    "numpy": ("numpy", np.array),
    "numpy-read-only": ("numpy", _read_only),
    "array-api-strict": (
        "array_api_strict",
        lambda x: importlib.import_module("array_api_strict").asarray(np.array(x)),
    ),
    "torch": ("torch", _torch),
    "jax": ("jax", lambda x: importlib.import_module("jax.numpy").asarray(x)),
}


@pytest.fixture(params=LIBRARIES)
def xp(request: pytest.FixtureRequest) -> Library:
    """Each array library: ``xp.asarray(numpy_array)`` is what to pass to an operation."""
    module, asarray = LIBRARIES[request.param]
    pytest.importorskip(module, reason=f"{module} is not installed")
    return Library(request.param, asarray)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures behind the pictures that a test draws, in their order."""
    module = pytest.importorskip("matplotlib.figure")
    figures: list[Any] = []
    usual = module.Figure

    def make(*args: Any, **how: Any) -> Any:
        figures.append(usual(*args, **how))
        return figures[-1]

    monkeypatch.setattr(module, "Figure", make)
    return figures


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real scans, FASTPREP_TEST_DATA; tests that need it are skipped without."""
    folder = os.environ.get("FASTPREP_TEST_DATA")
    if not folder:
        pytest.skip("FASTPREP_TEST_DATA is not set: no real scans")
    path = Path(folder)
    assert path.is_dir(), f"FASTPREP_TEST_DATA={folder!r}: no such folder"
    return path
