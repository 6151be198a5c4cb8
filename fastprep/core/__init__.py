"""Geometry, intensity maps and array namespaces: no kernel, no file, no backend."""
