"""The wheel holds what the tree holds: a folder missing from `packages` would vanish without an error."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = {".py", ".yaml", ".cu", ".cuh", ".typed", ".html", ".css", ".js"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy, so that nothing is left in the tree, and no stale build/ hides a missing file."""
    pytest.importorskip("setuptools", minversion="77", reason="setuptools 77 builds the wheel")
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tree.mkdir()
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("fastprep", "kernels"):
        shutil.copytree(ROOT / name, tree / name, ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tree / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command += ["--wheel-dir", str(folder), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(folder.glob("fastprep-*.whl")))


def tree_files() -> set[str]:
    found = set()
    for top, prefix in (("fastprep", "fastprep"), ("kernels", "fastprep/kernels")):
        for path in (ROOT / top).rglob("*"):
            if path.suffix in SHIPPED or path.name == "py.typed":
                found.add(f"{prefix}/{path.relative_to(ROOT / top).as_posix()}")
    return found


def test_wheel_is_the_tree(wheel: zipfile.ZipFile) -> None:
    packed = {name for name in wheel.namelist() if not name.partition("/")[0].endswith(".dist-info")}
    assert packed == tree_files()


def test_wheel_is_pure_typed_and_has_the_command(wheel: zipfile.ZipFile) -> None:
    assert Path(str(wheel.filename)).name.endswith("-py3-none-any.whl")
    assert "fastprep/py.typed" in wheel.namelist()
    entry_points = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert b"fastprep = fastprep.cli:main" in wheel.read(entry_points)


def test_every_package_is_listed_and_exists() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    found = set()
    for top, prefix in (("fastprep", "fastprep"), ("kernels", "fastprep.kernels")):
        for path in (ROOT / top).rglob("*.py"):
            below = path.parent.relative_to(ROOT / top).parts
            found.add(".".join([prefix, *below]))
    assert set(packages) == found
