"""Percentiles, moments and the MR normalisers that rest on them, beside NumPy and the packages that have them.

    python benchmarks/run.py statistics

The chest CT is the input of percentiles and moments, a T1 head that of the normalisers, which all get the same mask.
intensity-normalization 2.2.4 and 3 are both peers: the second has another WhiteStripe, whose bandwidth is a bug. The
first wants an older NumPy than the others, runs with this one, and is looked for in a folder of its own:

    pip install --no-deps --target DIR intensity-normalization==2.2.4 pymedio
    FASTPREP_INTENSITY_NORMALIZATION=DIR python benchmarks/run.py statistics
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import _harness as h
import bench_bias
import numpy as np

oracles = h.oracles
PERCENTILES = (0.5, 99.5)
OLD = "intensity-normalization 2.2.4"
NEW = "intensity-normalization 3"
_PACKAGE = "intensity_normalization"


def jobs(scan: h.Scan) -> list[h.Job]:
    """One job for each row of the table; ``scan`` is the CT."""
    x = scan.array.astype(np.float32)
    found = [_percentiles(x, 6.0), _percentiles(scan.array, 15.0), _moments(x, scan.array > -400)]
    head = bench_bias.load_scan().array
    mask = importlib.import_module("fastprep").foreground_mask(head)
    for image in (head, head.astype(np.float32)):
        found += [_white_stripe(image, mask), _nyul_fit(image, mask), _nyul(image, mask)]
    return [*found, _fcm(head, mask)]


def _percentiles(x: Any, target: float) -> h.Job:
    def fastprep() -> Callable[[], Any]:
        package = importlib.import_module("fastprep")
        return lambda: package.percentile(x, PERCENTILES)

    def numpy() -> Callable[[], Any]:
        return lambda: np.percentile(x, PERCENTILES)

    return h.Job(
        f"percentiles {PERCENTILES[0]} and {PERCENTILES[1]}, {x.dtype}",
        [h.Contestant("fastprep", fastprep), h.Contestant("NumPy", numpy, target=target, threaded=False)],
        x.nbytes,
    )


def _moments(x: Any, mask: Any) -> h.Job:
    def fastprep() -> Callable[[], Any]:
        moments_of = importlib.import_module("fastprep.ops._masked").moments_of
        return lambda: moments_of(x, mask)

    def numpy() -> Callable[[], Any]:
        def call() -> Any:
            values = x[mask]
            return values.mean(dtype=np.float64), values.std(dtype=np.float64)

        return call

    def reading() -> Callable[[], Any]:
        read = _reader()
        return lambda: read(x, mask)

    def both(found: Any) -> h.Array:
        mean, std = found if isinstance(found, tuple) else (found.mean, found.std)
        return np.array([mean, std])

    return h.Job(
        "mean and std inside a mask, float32",
        [
            h.Contestant("fastprep", fastprep, both),
            h.Contestant("NumPy", numpy, both, target=4.0, threaded=False),
            h.Contestant("the same bytes read, nothing else", reading, np.asarray, compare=lambda *_: 0.0),
        ],
        x.nbytes + mask.nbytes,
        note="reading alone is the floor: fastprep is meant to reach 80 % of it, 0.8x",
    )


@cache
def _reader() -> Callable[[Any, Any], Any]:
    """Image and mask summed as 64-bit words by two threads, as fast as this machine reads."""
    numba = importlib.import_module("numba")
    run_slabs = importlib.import_module("fastprep.core.threads").run_slabs

    @numba.njit(nogil=True)  # type: ignore[untyped-decorator]
    def add(words: Any) -> int:
        total = np.int64(0)
        for word in words:
            total += word
        return total

    def read(*arrays: Any) -> Any:
        totals = []

        def part(start: int, stop: int) -> None:
            for words in (array.reshape(-1).view(np.int64) for array in arrays):
                n = len(words)
                totals.append(add(words[start * n // 64 : stop * n // 64]))

        run_slabs(part, 64)
        return totals

    return read


def _white_stripe(x: Any, mask: Any) -> h.Job:
    def fastprep() -> Callable[[], Any]:
        package = importlib.import_module("fastprep")
        return lambda: package.white_stripe(x, mask=mask).normalized

    def old() -> Callable[[], Any]:
        peer = _old("normalize.whitestripe").WhiteStripeNormalize()
        modality, marks = _old("typing").Modality.T1, mask.astype(np.float32)
        return lambda: peer.normalize_image(x, marks, modality=modality)

    def new() -> Callable[[], Any]:
        images = _new("adapters.images").create_image
        image, marks = images(x), images(mask.astype(np.float32))

        def call() -> Any:
            peer = _new("normalizers.individual.whitestripe").WhiteStripeNormalizer()
            peer.fit(image, marks)
            return peer.transform(image, marks)

        return call

    return h.Job(
        f"WhiteStripe, T1 head, {x.dtype}",
        [
            h.Contestant("fastprep", fastprep),
            h.Contestant(OLD, old, target=10.0, threaded=False),
            h.Contestant(NEW, new, lambda image: np.asarray(image.get_data()), threaded=False),
        ],
        x.nbytes + mask.nbytes,
        note="as stored; modes within a bandwidth of each other" if x.dtype == np.uint8 else "as N4 leaves it",
    )


def _nyul_fit(x: Any, mask: Any) -> h.Job:
    def fastprep() -> Callable[[], Any]:
        package = importlib.import_module("fastprep")
        return lambda: package.Nyul().fit([x], [mask]).landmarks

    def old() -> Callable[[], Any]:
        marks = mask.astype(np.float32)

        def call() -> Any:
            peer = _old("normalize.nyul").NyulNormalize()
            peer.fit([x], [marks])
            return peer.standard_scale

        return call

    return h.Job(
        f"Nyul fit, one volume, {x.dtype}",
        [h.Contestant("fastprep", fastprep), h.Contestant(OLD, old, target=10.0, threaded=False)],
        x.nbytes + mask.nbytes,
    )


def _nyul(x: Any, mask: Any) -> h.Job:
    def fastprep() -> Callable[[], Any]:
        nyul = importlib.import_module("fastprep").Nyul().fit([x], [mask])
        return lambda: nyul.transform(x, mask)

    def old() -> Callable[[], Any]:
        peer, marks = _old("normalize.nyul").NyulNormalize(), mask.astype(np.float32)
        peer.fit([x], [marks])
        return lambda: peer.normalize_image(x, marks)

    return h.Job(
        f"Nyul transform, {x.dtype}",
        [h.Contestant("fastprep", fastprep), h.Contestant(OLD, old, target=10.0, threaded=False)],
        x.nbytes + mask.nbytes,
    )


def _fcm(x: Any, mask: Any) -> h.Job:
    start = np.percentile(x[mask], (10, 50, 90))

    def fastprep() -> Callable[[], Any]:
        package = importlib.import_module("fastprep")
        return lambda: package.fcm_normalize(x, mask=mask, centers=start).centers

    def fuzzy() -> Callable[[], Any]:
        values = x[mask].astype(np.float64)
        # It starts from memberships: those of the centres that fastprep starts from.
        squares = np.square(values - start[:, None]) + 1e-9
        memberships = 1 / squares / (1 / squares).sum(axis=0)
        return lambda: oracles.skfuzzy_means(values, memberships, 0.005, 50)[0]

    return h.Job(
        "fuzzy c-means, 3 classes",
        [
            h.Contestant("fastprep", fastprep),
            h.Contestant("scikit-fuzzy", fuzzy, np.sort, target=30.0, threaded=False, slow=True),
        ],
        x.nbytes + mask.nbytes,
        note="the difference is that of the centres",
    )


def _old(module: str) -> Any:
    """A module of version 2.2.4."""
    folder = os.environ.get("FASTPREP_INTENSITY_NORMALIZATION")
    if not folder:
        msg = "FASTPREP_INTENSITY_NORMALIZATION is not set, see the head of bench_statistics.py"
        raise ImportError(msg)
    return _load(folder, module)


def _new(module: str) -> Any:
    """A module of the version that is installed."""
    return _load("", module)


@cache
def _load(folder: str, module: str) -> Any:
    """Both versions have one name: each is imported from its own place, and its modules then put aside."""
    own = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith(_PACKAGE)}
    sys.modules.update(_aside.get(folder, {}))
    sys.path[:0] = [folder] if folder else []
    try:
        return importlib.import_module(f"{_PACKAGE}.{module}")
    finally:
        del sys.path[: 1 if folder else 0]
        _aside[folder] = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith(_PACKAGE)}
        sys.modules.update(own)


_aside: dict[str, dict[str, Any]] = {}


if __name__ == "__main__":
    h.main(jobs)
