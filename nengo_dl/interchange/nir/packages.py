"""The package that this folder needs, and the rest of nengo_dl does not."""

from __future__ import annotations

from typing import Any

__all__ = ["import_nir"]


def import_nir() -> Any:
    """Import and return the package ``nir``, or say how to get it."""
    try:
        import nir
    except ImportError as error:
        raise ImportError(
            "NIR graphs need the package nir; install it with: pip install nir"
        ) from error
    return nir
