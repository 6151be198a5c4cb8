from __future__ import annotations

import numpy as np
import pytest

from fastprep.core.border import mirrored, mirrored_with_ends


@pytest.mark.parametrize("n", [1, 2, 3, 7])
@pytest.mark.parametrize(("function", "mode"), [(mirrored, "reflect"), (mirrored_with_ends, "symmetric")])
def test_is_numpys_padding(function, mode, n):
    far = 3 * n
    expected = np.pad(np.arange(n), far, mode=mode)
    np.testing.assert_array_equal(function(np.arange(-far, n + far), n), expected)
