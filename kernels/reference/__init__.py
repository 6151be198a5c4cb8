"""The truth the other backends are held to, in NumPy and SciPy: short, plain, slow; and the fallback without Numba."""
