"""How good predictions are, and which hyperparameters are chosen by that."""
