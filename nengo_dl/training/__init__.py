"""Training: data, compiled functions, optimizers, epochs."""
