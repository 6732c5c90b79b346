"""Processes that work together: who they are, and what they tell each other."""
