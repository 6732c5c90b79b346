"""Scripts as they are written for version 3 of the older library."""
