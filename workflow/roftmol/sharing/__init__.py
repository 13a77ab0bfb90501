"""Several results folders: put together, and recomputed."""
