"""CUDA sources on machines without a GPU.

``build`` compiles the text of a ``.cu`` file, unmodified, with g++ and ``shim.hpp``, which is CUDA's dialect on the
host; ``Module.launch`` runs a kernel of it on one core: blocks one after another (``launch.hpp``), the threads of a
block as fibers (``fibers.hpp``) that switch at barriers and warp functions (``scheduler.hpp``).

What it shows:

- results: float32 arithmetic without contraction, so + - * / and sqrt give the bits of a GPU with ``--fmad=false``;
- a missing barrier, as results that differ between the orders "forward", "reverse" and "shuffled";
- threads that do not meet: another barrier, a shuffle with another mask, an early return; with block, file and line;
- shared memory read before it is written, and shuffles from lanes that take no part: ``POISON``, never old data;
- with ``sanitize=True``, memory out of bounds, 16-byte accesses of misaligned addresses, undefined shifts, overflows
  and casts. The program must be started with ``sanitizer_environment()`` (and ``PYTHONMALLOC=malloc`` in it gives
  small buffers their guards)::

      env $(python -c "import emulator; print(*map('='.join, emulator.sanitizer_environment().items()))") pytest ...

- launches that a device refuses, parameters of another size than the kernel's.

What it cannot show: races between blocks and the memory model (one order at a time, all writes seen at once), threads
that spin until another one of the grid writes (they never stop), speed, bank conflicts, registers, what a plain build
does not check of the list above, and the last bits of exp, log, sin and other functions that CUDA has its own of.

Libraries are kept in ``FASTPREP_EMULATOR_CACHE``, or a folder of the user's in the temporary one.
"""

from __future__ import annotations

from emulator._build import ORDERS, POISON, EmulatorError, Module, Order, build, missing, sanitizer_environment

__all__ = ["ORDERS", "POISON", "EmulatorError", "Module", "Order", "build", "missing", "sanitizer_environment"]
