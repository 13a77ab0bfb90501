"""Which datasets, checkpoints and pretraining corpora exist, and where each comes from."""
