"""Packaging of nengo_dl; the settings of the tools are in ``pyproject.toml``."""

import runpy
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = runpy.run_path(str(ROOT / "nengo_dl" / "version.py"))["__version__"]

INSTALL_REQUIRES = [
    "nengo>=4.1,<5",
    "numpy>=2",
    "progressbar2>=4.2",
    "protobuf>=4.25",  # TensorFlow's, to read its profiles
    "tensorflow>=2.18,<2.22",
]

OPTIONAL = ["scipy>=1.13"]
TENSORBOARD = ["tensorboard>=2.18"]
EXAMPLES = ["matplotlib>=3.9", "scikit-learn>=1.5", "scipy>=1.13", *TENSORBOARD]
TESTS = [
    *EXAMPLES,
    *OPTIONAL,
    "hypothesis>=6.100",
    "ipython",
    "mypy>=1.11",
    "pytest>=8,<9",  # nengo 4.1.0's plugin cannot start on later versions
    "pytest-allclose",
    "pytest-plt",
    "pytest-rng",
    "pytest-xdist>=3.6",
    "ruff>=0.12",
    "setuptools<82",  # the last to contain pkg_resources, which nengo's tests import
]
DOCS = [
    "furo>=2024.8.6",
    "matplotlib>=3.9",
    "numpydoc>=1.8",
    "sphinx>=8",
    "sphinx-gallery>=0.19",
]

setup(
    name="nengo_dl",
    version=VERSION,
    description="Nengo simulations compiled to TensorFlow, with training",
    long_description=(ROOT / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    author="The nengo_dl developers",
    license="MIT",
    packages=find_packages(include=["nengo_dl*"]),
    zip_safe=False,
    python_requires=">=3.11,<3.14",
    install_requires=INSTALL_REQUIRES,
    extras_require={
        "docs": DOCS,
        "examples": EXAMPLES,
        "optional": OPTIONAL,
        "tensorboard": TENSORBOARD,
        "tests": TESTS,
    },
    entry_points={"nengo.backends": ["dl = nengo_dl:Simulator"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: Nengo",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
