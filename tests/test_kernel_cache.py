"""Compiled kernels kept on disk: used again as they are, and never after a source they were made from has changed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import fastprep
import fastprep.kernels

PROGRAM = """
import numpy as np
import fastprep
x = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
print(fastprep.resample(x, (1, 1, 1), (0.5, 0.5, 0.5))[1, 1, 0])
"""


def test_a_changed_helper_recompiles_the_kernels_it_is_part_of(tmp_path: Path) -> None:
    no_cache = shutil.ignore_patterns("__pycache__")
    package = tmp_path / "fastprep"
    shutil.copytree(Path(fastprep.__file__).parent, package, ignore=no_cache)
    kernels = Path(fastprep.kernels.__file__).parent
    shutil.copytree(kernels, package / "kernels", ignore=no_cache, dirs_exist_ok=True)

    def run() -> float:
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{PROGRAM}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return float(done.stdout)

    assert run() == run() == 3
    rows = package / "kernels" / "cpu" / "_rows.py"
    text = rows.read_text("utf-8")
    assert "a[i] + (b[i] - a[i]) * w" in text
    rows.write_text(text.replace("a[i] + (b[i] - a[i]) * w", "a[i] - (b[i] - a[i]) * w"), "utf-8")
    assert run() == -3
