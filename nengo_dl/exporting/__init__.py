"""Simulated networks as files that other runtimes read, and run without Nengo."""
