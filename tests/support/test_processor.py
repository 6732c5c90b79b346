"""What the processor can do."""

import pytest

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
