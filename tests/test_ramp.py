"""Ramp: closed under composition, exactly where the arithmetic is exact."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastprep.core.errors import ArgumentError
from fastprep.core.ramp import Ramp

INF = math.inf
#: Eighths of small whole numbers: sums and products of a few of them are exact in float64.
EIGHTHS = st.integers(-64, 64).map(lambda n: n / 8)
VALUES = np.array([-INF, *(np.arange(-160, 161) / 8), INF])


@st.composite
def ramps(draw: st.DrawFn, slopes: st.SearchStrategy[float] = EIGHTHS) -> Ramp:
    lo, hi = sorted((draw(EIGHTHS), draw(EIGHTHS)))
    bounds = draw(st.sampled_from([(lo, hi), (-INF, hi), (lo, INF), (-INF, INF), (lo, lo)]))
    return Ramp(draw(slopes), draw(EIGHTHS), *bounds)


sloped = ramps(EIGHTHS.filter(bool))


@given(sloped, sloped)
def test_composition_is_exact(first: Ramp, second: Ramp) -> None:
    np.testing.assert_array_equal(first.then(second)(VALUES), second(first(VALUES)))


@given(ramps(), ramps())
def test_composition_with_constants(first: Ramp, second: Ramp) -> None:
    finite = VALUES[1:-1]
    np.testing.assert_array_equal(first.then(second)(finite), second(first(finite)))


@given(sloped, sloped, sloped)
def test_associative(a: Ramp, b: Ramp, c: Ramp) -> None:
    assert a.then(b).then(c) == a.then(b.then(c))


@given(ramps())
def test_identity_is_neutral(ramp: Ramp) -> None:
    assert Ramp().then(ramp) == ramp
    assert ramp.then(Ramp()) == ramp
    assert Ramp().is_identity


@given(st.lists(ramps(), max_size=6))
def test_nan_passes_through_every_chain(chain: list[Ramp]) -> None:
    whole = Ramp()
    for ramp in chain:
        whole = whole.then(ramp)
    assert math.isnan(whole(math.nan))


@given(ramps(), ramps())
def test_result_of_a_chain_stays_in_its_bounds(first: Ramp, second: Ramp) -> None:
    whole = first.then(second)
    assert second.lo <= whole.lo <= whole.hi <= second.hi
    finite = whole(VALUES[1:-1])
    assert ((finite >= whole.lo) & (finite <= whole.hi)).all()


@given(sloped)
def test_monotone(ramp: Ramp) -> None:
    steps = np.diff(ramp(VALUES[1:-1])) * math.copysign(1, ramp.a)
    assert (steps >= 0).all()


finite_floats = st.floats(-1e6, 1e6)


@given(finite_floats, finite_floats, finite_floats, finite_floats, st.booleans())
def test_between_meets_both_points(x0: float, x1: float, y0: float, y1: float, clip: bool) -> None:
    if abs(x1 - x0) < 1e-3:
        return
    ramp = Ramp.between((x0, x1), (y0, y1), clip=clip)
    scale = 1e-12 * (1 + abs(ramp.a)) * (1 + abs(x0) + abs(x1) + abs(y0) + abs(y1))
    np.testing.assert_allclose(ramp([x0, x1]), [y0, y1], rtol=0, atol=scale)
    if clip:
        assert (ramp.lo, ramp.hi) == (min(y0, y1), max(y0, y1))


@given(finite_floats, finite_floats, st.floats(0.01, 100), finite_floats, finite_floats)
def test_composition_of_any_numbers(b: float, x: float, a: float, p: float, q: float) -> None:
    first, second = Ramp(-a, b, min(p, q), max(p, q)), Ramp(a, -b, min(p, q), max(p, q))
    scale = 1e-12 * (1 + a) * (1 + a) * (1 + abs(x) + abs(b) + abs(p) + abs(q))
    assert first.then(second)(x) == pytest.approx(float(second(first(x))), rel=0, abs=scale)


def test_a_radiograph_inverted_twice_is_itself() -> None:
    invert = Ramp(-1.0, 4095.0)
    assert invert.then(invert).is_identity


@pytest.mark.parametrize(
    "numbers",
    [
        (math.nan, 0, 0, 1),
        (INF, 0, 0, 1),
        (1, math.nan, 0, 1),
        (1, -INF, 0, 1),
        (1, 0, 1, 0),
        (1, 0, math.nan, 1),
        (1, 0, 0, math.nan),
    ],
)
def test_no_ramp(numbers: tuple[float, float, float, float]) -> None:
    with pytest.raises(ArgumentError, match=r"expected finite a and b, and lo <= hi"):
        Ramp(*numbers)


def test_value_object() -> None:
    ramp = Ramp(2.0, 1.0, 0.0, 5.0)
    assert ramp.to_tuple() == (2.0, 1.0, 0.0, 5.0)
    assert pickle.loads(pickle.dumps(ramp)) == ramp
    assert hash(Ramp(2, 1, 0, 5)) == hash(ramp)
    with pytest.raises(AttributeError):
        ramp.a = 3.0  # type: ignore[misc]
