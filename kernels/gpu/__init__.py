"""CUDA kernels: each ``.cu`` beside a launcher of the same stem. `_compile` is the only loader of them."""
