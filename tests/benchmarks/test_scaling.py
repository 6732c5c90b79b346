"""What `nengo_dl.benchmarks.scaling` keeps, and what is drawn of it."""

import importlib.util
import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from nengo_dl.benchmarks import scaling

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def plots():
    path = DOCS / "plots" / "scaling.py"
    spec = importlib.util.spec_from_file_location("plots_of_scaling", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_curve_keeps_its_ends_and_few_points():
    curve = [(n + 1, 2.0 + n) for n in range(200)]
    thinned = scaling._thinned(curve)
    assert thinned[0] == curve[0]
    assert thinned[-1] == curve[-1]
    assert len(thinned) <= scaling._MOST_POINTS + 2
    assert set(thinned) <= set(curve)


def test_rate_is_that_of_the_second_half():
    slow, fast = np.arange(10) * 5.0, 45 + np.arange(1, 11) * 0.5
    curve = list(enumerate([*slow, *fast, 99.0], 1))
    assert scaling._rate(curve) == pytest.approx(2)


def test_file_keeps_what_another_command_measured(tmp_path, monkeypatch):
    file = tmp_path / "found.json"
    curves = {"curves": {"1": [(1, 0.5), (2, 1.25)]}}
    monkeypatch.setattr(scaling, "_sweep", lambda given: iter([curves]))
    monkeypatch.setattr(scaling, "_training", lambda given: iter([{"seconds": 1}]))
    for arguments in ("sweep --count 5", "training"):
        assert scaling.main([*arguments.split(), "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert found["sweep"]["measured"] == [{"curves": {"1": [[1, 0.5], [2, 1.25]]}}]
    assert found["training"]["measured"] == [{"seconds": 1}]
    assert "[1, 0.5]" in file.read_text()
    assert "sweep --count 5" in found["sweep"]["command"]
    assert found["sweep"]["machine"]["processors"] >= 1
    assert set(found["sweep"]["versions"]) >= {"python", "tensorflow", "nengo"}


@pytest.mark.parametrize("name", ["measured", "model"])
def test_pictures_are_drawn(plots, name):
    getattr(plots, name)()
    figure = plt.gcf()
    assert len(figure.axes) == 2
    assert all(ax.lines or ax.patches for ax in figure.axes)
    plt.close(figure)


def test_table_of_the_page_is_that_of_the_model(plots):
    page = (DOCS / "user_guide" / "scaling.rst").read_text(encoding="utf-8")
    rows = re.findall(
        r"   \* - ?([\d,]*)\n     - (\d+) Gbit/s\n" + 4 * r"     - ([\d.]+)\n", page
    )
    assert len(rows) == 7
    n_parameters = 0
    for count, gigabits, *milliseconds in rows:
        n_parameters = int(count.replace(",", "")) if count else n_parameters
        n_workers = np.array([2, 8, 64, 1000])
        expected = 1e3 * plots.sum_seconds(n_workers, n_parameters, float(gigabits))
        np.testing.assert_allclose([float(m) for m in milliseconds], expected, rtol=0.1)
