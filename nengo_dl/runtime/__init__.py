"""Run a compiled program: the loop, what the host contributes, and the state."""
