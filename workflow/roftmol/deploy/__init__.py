"""A model to use: the verdict, the ensemble, the bundle, predictions."""
