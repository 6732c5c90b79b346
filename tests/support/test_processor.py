"""What the processor can do."""

import pytest

from nengo_dl.support import processor
from nengo_dl.support.processor import multiplies_bfloat16


@pytest.mark.parametrize(
    "flags, expected",
    [
        ("fpu avx512f amx_bf16 amx_tile", True),
        ("fpu avx512_bf16", True),
        ("fpu avx512f avx512_vnni", False),
        ("", False),
    ],
)
def test_instructions_are_read_from_the_list_of_linux(flags, expected, tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nmodel name\t: amx_bf16\nflags\t\t: {flags}\n")
    assert multiplies_bfloat16(str(path)) is expected


def test_without_such_a_list_there_are_none(tmp_path):
    assert not multiplies_bfloat16(str(tmp_path / "missing"))


@pytest.mark.parametrize(
    "n_processes, expected",
    [
        (1, [{1, 2, 4, 6, 7}]),
        (2, [{1, 2}, {4, 6}]),
        (5, [{1}, {2}, {4}, {6}, {7}]),
        (6, []),
    ],
)
def test_processes_share_cores(monkeypatch, n_processes, expected):
    monkeypatch.setattr(
        processor.os, "sched_getaffinity", lambda pid: {7, 2, 4, 1, 6}, raising=False
    )
    monkeypatch.setattr(
        processor.os, "sched_setaffinity", lambda pid, cores: None, raising=False
    )
    assert processor.shares_of_cores(n_processes) == expected


def test_cores_cannot_be_chosen_on_all_systems(monkeypatch):
    monkeypatch.delattr(processor.os, "sched_setaffinity", raising=False)
    assert processor.shares_of_cores(1) == []
