"""Numba kernels: loops over voxels with plain scalars, compiled on first call and cached on disk."""
