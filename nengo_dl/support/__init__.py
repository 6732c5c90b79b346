"""What needs nothing of the rest: argument checks, progress bars, warnings, tables."""
