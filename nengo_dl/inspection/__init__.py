"""Reports for people: what a simulator made of a network, and how its neurons fire."""
