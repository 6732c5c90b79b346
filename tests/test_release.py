"""What names a version or a requirement elsewhere agrees with the package."""

import re
import tomllib
from pathlib import Path

import pytest

import nengo_dl

ROOT = Path(nengo_dl.__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RECIPE = (ROOT / "conda" / "meta.yaml").read_text(encoding="utf-8")


def requirement(text):
    """``("nengo", ">=4.1,<5")`` for ``nengo >=4.1,<5``."""
    name, version = re.fullmatch(r"([\w.-]+)\s*(.*)", text.strip()).groups()
    return name, version


def test_conda_recipe_asks_for_what_the_package_asks_for():
    section = re.search(r"  run:\n((?:    - .+\n)+)", RECIPE)[1]
    asked = dict(requirement(line.strip(" -")) for line in section.splitlines())
    wanted = dict(requirement(text) for text in PROJECT["project"]["dependencies"])
    wanted["python"] = PROJECT["project"]["requires-python"]
    assert asked == wanted


@pytest.mark.parametrize(
    "path, pattern",
    [
        ("conda/meta.yaml", r'set version = "(.+)"'),
        ("CITATION.cff", r"^version: (.+)$"),
        ("CHANGES.rst", r"^(\d+\.\d+\.\d+) \("),
    ],
)
def test_version_is_that_of_the_package(path, pattern):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert re.search(pattern, text, re.MULTILINE)[1] == nengo_dl.__version__


def test_pages_name_the_versions_that_are_required():
    lowest, highest = re.search(
        r"tensorflow>=(\d+\.\d+),<(\d+\.\d+)", str(PROJECT["project"]["dependencies"])
    ).groups()
    major, minor = highest.split(".")
    said = f"TensorFlow {lowest} to {major}.{int(minor) - 1}"
    index = (ROOT / "docs" / "index.rst").read_text(encoding="utf-8")
    assert said in " ".join(index.split())


@pytest.mark.parametrize("package", ["tensorflow", "keras"])
def test_lowest_versions_are_named(package):
    lowest = re.search(
        rf"{package}>=(\d+\.\d+)", str(PROJECT["project"]["dependencies"])
    )[1]
    page = (ROOT / "docs" / "installation.rst").read_text(encoding="utf-8")
    assert re.search(rf"^{package} +{lowest} ", page, re.MULTILINE | re.IGNORECASE)


def test_docker_image_is_made_of_files_that_exist():
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    lines = re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE)
    assert lines
    for name in " ".join(lines).split():
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored.splitlines()
