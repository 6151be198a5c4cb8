"""THE table: every public operation, the kernels it runs on, and what holds them together.

A kernel ``name`` is the function ``name`` in ``kernels/<backend>/<name>.py``, with the same signature on every
backend. A cell names the technology of that backend; NONE means there is no kernel, and data does not
move to where there is one.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from typing import Any, NamedTuple

from fastprep.core.device_view import DeviceView
from fastprep.core.errors import ArgumentError, NoKernelError
from fastprep.core.namespace import device_of

NONE = "-"


class Op(NamedTuple):
    """One row: ``splits`` says how the work may be cut, ``tolerance`` is relative to the range of the values."""

    name: str
    kernels: tuple[str, ...]
    reference: str
    cpu: str
    gpu: str
    splits: str
    tolerance: float


# fmt: off
TABLE: tuple[Op, ...] = (
    #  op                         kernels                                                                                                                    reference cpu      gpu     splits       tolerance
    Op("clip_hu",                 ("ramp",),                                                                                                                 "numpy",  "numba", "cuda", "pointwise", 1e-6),
    Op("window",                  ("ramp", "sigmoid"),                                                                                                       "numpy",  "numba", "cuda", "pointwise", 1e-6),
    Op("multi_window",            ("ramp", "sigmoid"),                                                                                                       "numpy",  "numba", "cuda", "pointwise", 1e-6),
    Op("rescale",                 ("ramp",),                                                                                                                 "numpy",  "numba", "cuda", "pointwise", 1e-6),
    Op("invert",                  ("ramp",),                                                                                                                 "numpy",  "numba", "cuda", "pointwise", 1e-6),
    Op("piecewise",               ("piecewise",),                                                                                                            "numpy",  "numba", "cuda", "pointwise", 1e-6),
    Op("resample",                ("resample", "take", "onehot"),                                                                                            "scipy",  "numba", "cuda", "slabs",     5e-6),
    Op("resample_to",             ("warp", "resample", "onehot"),                                                                                            "scipy",  "numba", "cuda", "slabs",     5e-6),
    Op("warp",                    ("warp", "resample", "onehot"),                                                                                            "scipy",  "numba", "cuda", "slabs",     5e-6),
    Op("deskew",                  ("warp",),                                                                                                                 "scipy",  "numba", "cuda", "slabs",     5e-6),
    Op("reorient",                ("take",),                                                                                                                 "numpy",  "numba", "cuda", "slabs",     0.0),
    Op("flip",                    ("take",),                                                                                                                 "numpy",  "numba", "cuda", "slabs",     0.0),
    Op("resize",                  ("resample", "take"),                                                                                                      "scipy",  "numba", "cuda", "slabs",     5e-6),
    Op("crop_or_pad",             ("take",),                                                                                                                 "numpy",  "numba", "cuda", "slabs",     0.0),
    Op("crop_to_mask",            ("bounds", "take"),                                                                                                        "numpy",  "numba", "cuda", "whole",     0.0),
    Op("stack",                   ("warp", "resample", "take"),                                                                                              "scipy",  "numba", "cuda", "slabs",     5e-6),
    Op("fuse",                    ("covariance", "combine"),                                                                                                 "numpy",  "numba", "cuda", "whole",     1e-6),
    Op("zscore",                  ("moments", "ramp"),                                                                                                       "numpy",  "numba", "cuda", "whole",     1e-6),
    Op("percentile",              ("percentile",),                                                                                                           "numpy",  "numba", "cuda", "whole",     0.0),
    Op("minmax",                  ("moments", "ramp"),                                                                                                       "numpy",  "numba", "cuda", "whole",     1e-6),
    Op("robust",                  ("percentile", "ramp"),                                                                                                    "numpy",  "numba", "cuda", "whole",     1e-6),
    Op("percentile_clip",         ("percentile", "ramp"),                                                                                                    "numpy",  "numba", "cuda", "whole",     1e-6),
    Op("normalize_in_mask",       ("moments", "percentile", "masked_ramp"),                                                                                  "numpy",  "numba", "cuda", "whole",     1e-6),
    Op("otsu",                    ("moments", "histogram"),                                                                                                  "numpy",  "numba", "cuda", "whole",     0.0),
    Op("foreground_mask",         ("moments", "histogram", "ramp", "keep", "fill"),                                                                          "scipy",  "numba", "cuda", "whole",     0.0),
    Op("label",                   ("label",),                                                                                                                "scipy",  "numba", "cuda", "whole",     0.0),
    Op("keep_largest",            ("keep",),                                                                                                                 "scipy",  "numba", "cuda", "whole",     0.0),
    Op("remove_small",            ("keep",),                                                                                                                 "scipy",  "numba", "cuda", "whole",     0.0),
    Op("fill_holes",              ("fill",),                                                                                                                 "scipy",  "numba", "cuda", "whole",     0.0),
    Op("regions",                 ("moments", "regions"),                                                                                                    "numpy",  "numba", "cuda", "whole",     0.0),
    Op("detect_metal",            ("moments", "clusters", "paint", "counts", "histogram"),                                                                   "scipy",  "numba", "cuda", "whole",     0.0),
    Op("sweep_metal",             ("moments", "clusters", "paint", "counts", "histogram"),                                                                   "scipy",  "numba", "cuda", "whole",     0.0),
    Op("local_normalize",         ("moments", "local_normalize"),                                                                                            "numpy",  "numba", "cuda", "whole",     1e-6),
    Op("white_stripe",            ("counts", "histogram", "percentile", "moments", "ramp", "between"),                                                       "numpy",  "numba", "cuda", "whole",     1e-6),
    Op("kde_normalize",           ("counts", "histogram", "moments", "ramp"),                                                                                "numpy",  "numba", "cuda", "whole",     1e-6),
    Op("fcm_normalize",           ("counts", "histogram", "moments", "ramp", "membership"),                                                                  "numpy",  "numba", "cuda", "whole",     1e-6),
    Op("least_squares_normalize", ("counts", "histogram", "moments", "ramp"),                                                                                "numpy",  "numba", "cuda", "whole",     1e-6),
    Op("dilate",                  ("dilate",),                                                                                                               "scipy",  "numba", "cuda", "whole",     0.0),
    Op("erode",                   ("dilate",),                                                                                                               "scipy",  "numba", "cuda", "whole",     0.0),
    Op("opening",                 ("dilate",),                                                                                                               "scipy",  "numba", "cuda", "whole",     0.0),
    Op("closing",                 ("dilate", "take"),                                                                                                        "scipy",  "numba", "cuda", "whole",     0.0),
    Op("body_mask",               ("moments", "between", "dilate", "keep", "fill", "take"),                                                                  "scipy",  "numba", "cuda", "whole",     0.0),
    Op("lung_mask",               ("between", "dilate", "keep", "fill", "clusters", "paint", "moments", "counts", "histogram", "combine", "bounds", "take"), "scipy",  "numba", "cuda", "whole",     0.0),
    Op("n4",                      ("n4", "field"),                                                                                                           "numpy",  "numba", "cuda", "whole",     1e-4),
    Op("polynomial_bias",         ("polynomial", "field"),                                                                                                   "numpy",  "numba", "cuda", "whole",     1e-3),
    Op("gaussian_bias",           ("masked", "resample", "quotient", "field"),                                                                               "scipy",  "numba", "cuda", "whole",     1e-4),
    Op("homomorphic_bias",        ("masked", "resample", "quotient", "field"),                                                                               "scipy",  "numba", "cuda", "whole",     1e-4),
    Op("clahe",                   ("tile_tables", "tile_blend", "percentile", "moments", "ramp"),                                                            "numpy",  "numba", "cuda", "whole",     0.0),
    Op("clahe_tables",            ("tile_tables", "tile_blend", "percentile", "moments", "ramp"),                                                            "numpy",  "numba", "cuda", "whole",     0.0),
    Op("clahe_parameters",        ("percentile", "moments", "counts", "histogram"),                                                                          "numpy",  "numba", "cuda", "whole",     0.0),
    Op("multiscale_clahe",        ("tile_tables", "tile_blend", "percentile", "moments", "ramp", "combine"),                                                 "numpy",  "numba", "cuda", "whole",     1e-6),
    Op("mse",                     ("errors", "moments"),                                                                                                     "numpy",  "numba", "cuda", "whole",     1e-12),
    Op("mae",                     ("errors", "moments"),                                                                                                     "numpy",  "numba", "cuda", "whole",     1e-12),
    Op("psnr",                    ("errors", "moments"),                                                                                                     "numpy",  "numba", "cuda", "whole",     1e-12),
    Op("ssim",                    ("ssim", "moments"),                                                                                                       "scipy",  "numba", "cuda", "whole",     1e-6),
    Op("flat_field",              ("frames", "flat_field", "percentile", "reciprocal"),                                                                      "numpy",  "numba", "cuda", "whole",     1e-6),
    Op("bad_pixels",              ("frames", "flat_field", "percentile", "median", "defects", "moments", "ramp"),                                            "scipy",  "numba", "cuda", "whole",     0.0),
    Op("mend_pixels",             ("mend",),                                                                                                                 "numpy",  "numba", "cuda", "whole",     0.0),
    Op("voi_lut",                 ("ramp", "sigmoid", "look_up"),                                                                                            "numpy",  "numba", "cuda", "whole",     1e-6),
    Op("denoise_tv",              ("tv", "moments", "ramp"),                                                                                                 "numpy",  "numba", "cuda", "whole",     1e-5),
    Op("median",                  ("median", "ramp"),                                                                                                        "numpy",  "numba", "cuda", "whole",     0.0),
    Op("bilateral",               ("bilateral", "moments", "ramp"),                                                                                          "numpy",  "numba", "cuda", "whole",     1e-5),
    Op("denoise_nlm",             ("moments", "diagonals", "between", "percentile", "nlm", "ramp"),                                                          "numpy",  "numba", "cuda", "whole",     1e-5),
    Op("estimate_noise",          ("moments", "diagonals", "between", "percentile"),                                                                         "numpy",  "numba", "cuda", "whole",     1e-5),
    Op("collimation_mask",        ("moments", "resample", "ramp"),                                                                                           "scipy",  "numba", "cuda", "whole",     0.0),
)
# fmt: on

BACKENDS = ("reference", "cpu", "gpu")
_forced: ContextVar[str | None] = ContextVar("fastprep_backend", default=None)


def find_op(name: str) -> Op:
    """The row of a public operation."""
    for op in TABLE:
        if op.name == name:
            return op
    msg = f"op={name!r}: expected one of {', '.join(op.name for op in TABLE)}"
    raise ArgumentError(msg)


def which(op: str, x: Any) -> str:
    """What would run for ``op`` on ``x``, as "backend: technology (kernels)".

    Raises
    ------
    NoKernelError
        Nothing would: there is no kernel for the device ``x`` is on.

    Examples
    --------
    >>> import numpy as np
    >>> which("window", np.zeros((2, 2), np.int16))
    'cpu: numba (ramp, sigmoid)'
    """
    row = find_op(op)
    backend = _backend_of(x)
    technology = getattr(row, backend)
    if technology == NONE:
        raise _no_kernel(op, backend)
    return f"{backend}: {technology} ({', '.join(row.kernels)})"


def kernel(name: str, x: Any) -> Callable[..., Any]:
    """The kernel ``name`` for the device of ``x``: the one place that imports kernels."""
    backend = _backend_of(x)
    offered = {getattr(row, backend) for row in TABLE if name in row.kernels}
    if offered == {NONE}:
        raise _no_kernel(name, backend)
    return _load(backend, name)


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Run host arrays on ``name`` ("reference" or "cpu") inside, in this thread or task only."""
    if name not in ("reference", "cpu"):
        msg = f"backend={name!r}: expected 'reference' or 'cpu'; the GPU is chosen by where the data is"
        raise ArgumentError(msg)
    token = _forced.set(name)
    try:
        yield
    finally:
        _forced.reset(token)


def gpu_driver() -> Any:
    """What talks to the GPU: see ``kernels/gpu/_driver.py``.

    Raises
    ------
    MissingExtraError
        CuPy is not installed.
    DeviceError
        There is no CUDA device, or this process was forked from one that used it.
    """
    return _gpu("_compile").driver()


def gpu_transfer() -> Any:
    """What moves volumes between the host and a GPU: ``kernels/gpu/_transfer.py``."""
    return _gpu("_transfer")


def one_launch(x: Any) -> AbstractContextManager[None]:
    """Kernels of a GPU array called inside are launched together at the end, as few as they can be."""
    return _gpu("_launch").merged() if device_of(x) == "gpu" else nullcontext()


def replay(key: Hashable, x: Any, out: Any) -> bool:
    """Launch again what was `recorded` for arrays of this layout; False when nothing was, as always on the host."""
    return isinstance(out, DeviceView) and _gpu("_recipes").replay(key, x, out)


def recorded(key: Hashable, x: Any, out: Any) -> AbstractContextManager[None]:
    """Kernels called inside, from ``x`` into ``out``: on a GPU launched together, and kept for `replay`."""
    return _gpu("_recipes").recorded(key, x, out) if isinstance(out, DeviceView) else nullcontext()


@cache
def _gpu(module: str) -> Any:
    return importlib.import_module(f"fastprep.kernels.gpu.{module}")


def _backend_of(x: Any) -> str:
    if device_of(x) == "gpu":
        return "gpu"
    return _forced.get() or _host_backend()


@cache
def _host_backend() -> str:
    if importlib.util.find_spec("numba") is not None:
        return "cpu"
    warnings.warn("Numba is not installed: fastprep runs on its slow reference kernels", RuntimeWarning, stacklevel=3)
    return "reference"


@cache
def _load(backend: str, name: str) -> Callable[..., Any]:
    module = importlib.import_module(f"fastprep.kernels.{backend}.{name}")
    function: Callable[..., Any] = getattr(module, name)
    return function


def _no_kernel(name: str, backend: str) -> NoKernelError:
    msg = (
        f"no {backend} kernel for {name!r} (there are: reference, cpu). fastprep never moves data by itself: "
        "pass x.cpu() (PyTorch) or x.get() (CuPy), and move the result back"
    )
    return NoKernelError(msg)
