"""Every exception fastprep raises on purpose.

Each is also the builtin a caller would already catch, so ``except ValueError`` keeps working.
A message names the argument, the value it had, and what was expected.
"""


class FastprepError(Exception):
    """Base of all errors below."""


class ArgumentError(FastprepError, ValueError):
    """A value out of its domain: an unknown name, a negative width, a wrong length."""


class ShapeError(ArgumentError):
    """An array or a shape that does not fit the operation."""


class DTypeError(FastprepError, TypeError):
    """A data type the operation has no meaning for."""


class GeometryError(FastprepError, ValueError):
    """A grid that describes no space: singular or non-finite affine, non-positive spacing, grids that disagree."""


class NotFittedError(FastprepError, ValueError, AttributeError):
    """Something learned from data is asked before it has seen any."""


class LeakError(FastprepError, ValueError):
    """A case of a test split that the pipeline was fitted on."""


class NonFiniteError(FastprepError, ValueError):
    """NaN or infinity where a statistic was asked for."""


class MaskError(FastprepError, ValueError):
    """A mask that was looked for and is not there; the message says why."""


class SegmenterError(FastprepError, RuntimeError):
    """A model that failed on an image, or whose answer is no mask of it; the message names the model."""


class NoKernelError(FastprepError, NotImplementedError):
    """No kernel for this operation on this device; data is never moved silently."""


class DeviceError(FastprepError, RuntimeError):
    """No CUDA device, arrays on different devices, or CUDA used where it cannot be."""


class KernelError(FastprepError, RuntimeError):
    """A CUDA kernel the compiler refuses; the message is the compiler's, with file and line."""


class MissingExtraError(FastprepError, ImportError):
    """An optional dependency is not installed; the message names the extra."""


class TooLargeError(FastprepError, MemoryError):
    """The result would not fit in memory."""


class ConfigError(FastprepError, ValueError):
    """A pipeline that cannot be understood: unknown step, unknown key, wrong value."""


class ReadError(FastprepError, OSError):
    """A file that cannot be read as what it claims to be."""


class SeriesError(ReadError):
    """Files that are readable one by one but form no regular volume."""


class GantryTiltError(SeriesError):
    """Slices stacked along a direction that is not their normal."""


class WriteError(FastprepError, OSError):
    """An output that cannot be written."""

    def __str__(self) -> str:
        if self.errno is None:
            return super().__str__()
        return f"{self.filename}: cannot be written: {self.strerror}"


class BusyError(FastprepError, RuntimeError):
    """Another run holds the output folder."""
