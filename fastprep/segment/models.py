"""Models by kind: what each takes, and what names it for good."""

from __future__ import annotations

import hashlib
import inspect
import io
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import array_api_compat
import numpy as np

from fastprep.core.errors import ArgumentError, DeviceError, ReadError
from fastprep.core.image import Image
from fastprep.core.namespace import device_of, host_view, is_torch, like
from fastprep.core.threads import num_threads
from fastprep.io._extras import require

_ONNX_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int16)": np.int16,
}


class Model(Protocol):
    """A model of one kind."""

    kind: str
    name: str
    #: What `sha256` is of, in words.
    hashed: str

    def sha256(self) -> str | None:
        """Of what the model is, in hexadecimal; None where that cannot be read."""

    def __call__(self, image: Image) -> Any:
        """Its answer to one image in physical units, of that image's library."""


class CallableModel:
    """A function of an Image."""

    kind = "callable"

    def __init__(self, function: Callable[[Image], Any], version: str | None = None) -> None:
        plain = function if inspect.isroutine(function) else type(function)
        self.name = f"{plain.__module__}.{plain.__qualname__}"
        self._function = function
        self._text, self.hashed = _source(function, plain, self.name, version)

    def sha256(self) -> str | None:
        """Of its source, or of its name and version where one is given."""
        return None if self._text is None else hashlib.sha256(self._text.encode()).hexdigest()

    def __call__(self, image: Image) -> Any:
        """What the function makes of it."""
        answer = self._function(image)
        return answer.array if isinstance(answer, Image) else answer


class TorchModel:
    """A PyTorch module, from now on in evaluation mode: (1, channels, space) in its own float type, no gradients."""

    kind = "torch"
    hashed = "class name, and names, types, shapes and bytes of the state_dict"

    def __init__(self, module: Any) -> None:
        self.name = f"{type(module).__module__}.{type(module).__qualname__}"
        self._module = module.eval()

    def sha256(self) -> str | None:
        """Of the weights as they are now."""
        digest = hashlib.sha256(self.name.encode())
        torch = require("torch")
        for key, value in sorted(self._module.state_dict().items()):
            if isinstance(value, torch.Tensor):
                plain = value.detach().cpu().contiguous().reshape(-1)
                digest.update(f"\n{key} {value.dtype} {tuple(value.shape)} ".encode())
                digest.update(plain.view(torch.uint8).numpy().data)
            else:
                digest.update(f"\n{key} {value!r}".encode())
        return digest.hexdigest()

    def __call__(self, image: Image) -> Any:
        """The module's answer as it comes."""
        torch = require("torch")
        self._module.eval()
        held = [*self._module.parameters(), *self._module.buffers()]
        where = held[0].device if held else None
        kinds = [t.dtype for t in held if t.is_floating_point()]
        x = _tensor(image.array, torch)
        if where is not None and x.device != where:
            msg = f"the image on {x.device}, model {self.name!r} on {where}: fastprep never moves data by itself"
            raise DeviceError(msg)
        x = x.to(kinds[0] if kinds else torch.float32)
        with torch.no_grad():
            answer = self._module(_with_batch(x, image))
        if is_torch(answer) and answer.dtype in (torch.float16, torch.bfloat16):
            answer = answer.float()
        return _as_library(answer, image.array)


class TorchScriptModel(TorchModel):
    """A TorchScript file: a program of its own, which no Python is needed for.

    Raises
    ------
    ReadError
        Another file of PyTorch's, all of which may run any code when they are read.
    """

    kind = "torchscript"
    hashed = "file"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        data = _read(path)
        _check_script(data, Path(path).name)
        torch = require("torch")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                module = torch.jit.load(io.BytesIO(data), map_location="cpu")
            except RuntimeError as error:
                msg = f"{Path(path).name}: cannot be read as TorchScript: {_first_line(error)}"
                raise ReadError(msg) from error
        super().__init__(module)
        self.name = Path(path).name
        self._sha256 = hashlib.sha256(data).hexdigest()

    def sha256(self) -> str | None:
        """Of the file as it was read."""
        return self._sha256


class OnnxModel:
    """An ONNX file of one input and one output, by ONNX Runtime on the CPU: (1, channels, space) in its input's type.

    Raises
    ------
    ReadError
        No such model, or one whose weights are in other files, which a hash of this one would not tell of.
    """

    kind = "onnx"
    hashed = "file"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = Path(path).name
        data = _read(path)
        self._sha256 = hashlib.sha256(data).hexdigest()
        runtime = require("onnxruntime")
        how = runtime.SessionOptions()
        how.intra_op_num_threads = num_threads()
        how.log_severity_level = 4
        # Nowhere: weights outside the file are not found.
        how.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
        try:
            self._session = runtime.InferenceSession(data, how, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own kinds, of no common base
            msg = f"{self.name}: cannot be read as an ONNX model in one file: {_first_line(error)}"
            raise ReadError(msg) from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type not in _ONNX_TYPES:
            said = f"inputs {[i.type for i in inputs]}, outputs {[o.type for o in outputs]}"
            msg = f"{self.name}: {said}: expected one of each, the input of {', '.join(_ONNX_TYPES)}"
            raise ReadError(msg)
        self._input, self._dtype = inputs[0].name, _ONNX_TYPES[inputs[0].type]

    def sha256(self) -> str | None:
        """Of the file as it was read."""
        return self._sha256

    def __call__(self, image: Image) -> Any:
        """The session's answer."""
        if device_of(image.array) != "cpu":
            msg = f"the image is on a GPU, model {self.name!r} on the CPU: fastprep never moves data by itself"
            raise DeviceError(msg)
        x = np.ascontiguousarray(host_view(image.array), self._dtype)
        (answer,) = self._session.run(None, {self._input: _with_batch(x, image)})
        if answer.dtype == np.float16:
            answer = answer.astype(np.float32)
        return like(answer, image.array)


def model_of(model: Any, version: str | None = None) -> Model:
    """The model of a function, a PyTorch module, or the path of a file.

    Raises
    ------
    ArgumentError
        None of these.
    """
    if isinstance(model, (str, os.PathLike)):
        kinds: dict[str, Callable[[Any], Model]] = {
            ".onnx": OnnxModel,
            ".pt": TorchScriptModel,
            ".pth": TorchScriptModel,
        }
        found = kinds.get(Path(model).suffix.lower())
        if found is None:
            msg = f"model={str(model)!r}: expected a file .onnx, or .pt of TorchScript"
            raise ArgumentError(msg)
        return found(model)
    if _is_module(model):
        return TorchModel(model)
    if not callable(model) or inspect.isclass(model):
        what = f"the class {model.__qualname__}, not one of it" if inspect.isclass(model) else type(model).__name__
        msg = f"model is {what}: expected a function of an Image, a PyTorch module, or the path of an ONNX file"
        raise ArgumentError(msg)
    return CallableModel(model, version)


def _source(function: Any, plain: Any, name: str, version: str | None) -> tuple[str | None, str]:
    """The text that names a function, and what it is."""
    if version is not None:
        return f"{name} {version}", f"name and version {version}"
    try:
        text = inspect.getsource(plain)
    except (OSError, TypeError):
        return None, "nothing: its source cannot be read; give a version"
    held = function is not plain or bool(getattr(function, "__closure__", None))
    return text, "source, not what it holds" if held else "source"


def _is_module(model: Any) -> bool:
    # A module of PyTorch has it imported.
    import sys

    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        msg = f"model {os.fspath(path)!r} cannot be read: {error.strerror}"
        raise ReadError(msg) from error


def _check_script(data: bytes, name: str) -> None:
    """Refuse what PyTorch would unpickle: a pickle is a program, and runs with all that the reader may do."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inner = {entry.partition("/")[2] for entry in archive.namelist()}
    except zipfile.BadZipFile:
        inner = set()
    if "constants.pkl" in inner and any(entry.startswith("code/") for entry in inner):
        return
    what = "a torch.export archive, which may hold pickles" if "archive_format" in inner else "a pickle, or no model"
    msg = f"{name} is {what}: to read it may run any code. Expected ONNX (torch.onnx.export) or TorchScript"
    raise ReadError(msg)


def _tensor(array: Any, torch: Any) -> Any:
    if is_torch(array):
        return array.detach()
    if device_of(array) == "gpu":
        return torch.from_dlpack(array)
    # PyTorch has no byte orders, and warns of arrays that it could write to and must not.
    view = host_view(array)
    return torch.from_numpy(view.astype(view.dtype.newbyteorder("="), copy=True))


def _with_batch(x: Any, image: Image) -> Any:
    """(1, channels, space) of an image with channels or without."""
    channels = x if len(x.shape) > image.grid.ndim else x[None]
    return channels[None]


def _as_library(answer: Any, array: Any) -> Any:
    """A tensor as an array of another library on the same device; what is none as it is."""
    if not is_torch(answer) or is_torch(array):
        return answer
    if device_of(answer) == "cpu":
        return like(host_view(answer), array)
    return array_api_compat.array_namespace(array).from_dlpack(answer)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
