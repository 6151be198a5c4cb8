"""One operation, one page: signature, meaning, check, geometry, dispatch, result."""
