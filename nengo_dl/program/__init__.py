"""From a layout to functions: one step, a loop over steps, a rollout for training."""
