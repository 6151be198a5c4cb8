"""Standard scales of histogram standardisation, as other libraries write them."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastprep.core.errors import ConfigError, MissingExtraError, ReadError

#: What TorchIO measures at its default cutoff; of its quartiles it applies the median alone.
_TORCHIO = (1, 10, 20, 25, 30, 40, 50, 60, 70, 75, 80, 90, 99)
_UNUSED = (25, 75)


def read_json(path: str | os.PathLike[str]) -> Any:
    """The plain form in a JSON file.

    Raises
    ------
    ReadError
        No such file.
    ConfigError
        It is no JSON.
    """
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:
        msg = f"{os.fspath(path)} is no JSON: {error}"
        raise ConfigError(msg) from error


def read_landmarks(path: str | os.PathLike[str], name: str | None = None) -> tuple[list[float], list[float]]:
    """Percentiles, and their values on the standard scale.

    ``.npy`` of intensity-normalization (2, P) or of TorchIO (13,); ``.pt`` and ``.pth`` of TorchIO: the landmarks of
    several images by name.

    Raises
    ------
    ReadError
        No such file, or not of its format.
    ConfigError
        It holds no standard scale, or several and no ``name``.
    MissingExtraError
        ``.pt`` without PyTorch.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".npy", ".pt", ".pth"):
        msg = f"{os.fspath(path)}: expected a standard scale as .json, .npy, .pt or .pth"
        raise ConfigError(msg)
    if suffix == ".npy":
        try:
            table = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise _unreadable(path, error) from error
    else:
        table = _of_torch(path, name)
    return _as_lists(np.asarray(table), path)


def _as_lists(table: npt.NDArray[Any], path: str | os.PathLike[str]) -> tuple[list[float], list[float]]:
    sound = table.dtype.kind in "iuf" and np.isfinite(table).all()
    if sound and table.ndim == 2 and len(table) == 2:
        return table[1].tolist(), table[0].tolist()
    if sound and table.shape == (len(_TORCHIO),):
        kept = [i for i, p in enumerate(_TORCHIO) if p not in _UNUSED]
        return [float(_TORCHIO[i]) for i in kept], table[kept].tolist()
    what = f"{table.dtype} of shape {table.shape}"
    msg = f"{os.fspath(path)} holds {what}: expected (2, P), a standard histogram, or (13,), landmarks of TorchIO"
    raise ConfigError(msg)


def _of_torch(path: str | os.PathLike[str], name: str | None) -> Any:
    """One entry of a dictionary that ``torch.save`` wrote: nothing in it is run."""
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        msg = f"{os.fspath(path)} needs PyTorch to be read: pip install 'fastprep[torch]'"
        raise MissingExtraError(msg) from error
    arrays = [np.ndarray, np.dtype, np.dtypes.Float64DType, np.dtypes.Float32DType]
    arrays.append(np._core.multiarray._reconstruct)  # type: ignore[attr-defined]
    try:
        with torch.serialization.safe_globals(arrays):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise _unreadable(path, error) from error
    entries = found if isinstance(found, Mapping) else {}
    if name is None and len(entries) == 1:
        (name,) = entries
    if name not in entries:
        msg = f"name={name!r}: expected one of {', '.join(map(repr, entries)) or 'none'}, what {os.fspath(path)} holds"
        raise ConfigError(msg)
    if isinstance(entries[name], str | os.PathLike):
        # TorchIO takes the path of a .npy for an entry, too.
        return np.load(entries[name], allow_pickle=False)
    return entries[name]


def _unreadable(path: str | os.PathLike[str], error: Exception) -> ReadError:
    first = str(error).partition("\n")[0]
    return ReadError(f"{os.fspath(path)}: cannot be read: {first}")
