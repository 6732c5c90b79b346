"""How much memory there is."""

import os

import pytest

from nengo_dl.support.memory import memory_limit


@pytest.mark.parametrize(
    "texts, expected",
    [
        (["1048576\n"], 2**20),
        (["max\n"], None),
        (["max\n", "2097152\n"], 2**21),
        (["4096", "2048"], 2**11),
    ],
)
def test_containers_have_limits(texts, expected, tmp_path, monkeypatch):
    paths = [tmp_path / str(number) for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    monkeypatch.setattr(
        os, "sysconf", {"SC_PHYS_PAGES": 2**40, "SC_PAGE_SIZE": 2**12}.__getitem__
    )
    found = memory_limit([str(path) for path in paths])
    assert found == (2**52 if expected is None else expected)


def test_nothing_is_known_elsewhere(tmp_path, monkeypatch):
    def missing(name):
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", missing)
    assert memory_limit([str(tmp_path / "missing")]) is None


def test_this_computer_has_some():
    assert memory_limit() > 2**26
