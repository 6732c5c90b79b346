"""The benchmark of many simulators of one structure."""

import nengo_dl
from nengo_dl.benchmarks.command_line import main
from nengo_dl.benchmarks.pool import measure_growth
from tests.program.pooled import network, record


def test_growth_is_counted_from_an_empty_pool():
    found = measure_growth(lambda number: record(network(seed=number)), 4)
    assert (found.count, found.misses, found.hits) == (4, 1, 3)
    assert nengo_dl.programs.misses == 1
    assert found.first_seconds > found.seconds > 0


def test_command_shows_what_was_compiled(capsys):
    assert main(["pool", "--count", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("x ")[-1].split()[-5:-3] for line in lines[1:]] == [
        ["1", "1"],
        ["1", "1"],
        ["1", "0"],
    ]
