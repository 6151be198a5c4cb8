"""Kernels: plain arrays and scalars in, results written into ``out``; no checks, no allocation of results.

Installed as ``fastprep.kernels``. Importing this folder under any other name would compile and cache
every kernel twice.
"""

if __name__ != "fastprep.kernels":
    msg = f"imported as {__name__!r}: these are fastprep's kernels, import fastprep.kernels"
    raise ImportError(msg)
