"""A running simulation: its values, time, random streams, and what executes it."""
