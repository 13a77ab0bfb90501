"""Fine-tuning: the loop, the mixing of weights, and the jobs that run them."""
