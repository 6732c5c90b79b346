"""Running many networks that differ in their parameters."""
