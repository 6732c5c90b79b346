"""Settings of the tests of sweeps."""

import multiprocessing

import pytest


@pytest.fixture(scope="module", autouse=True)
def none_left_behind():
    """Look for processes that a module started, and that have not ended."""
    before = set(multiprocessing.active_children())
    yield
    assert not set(multiprocessing.active_children()) - before
