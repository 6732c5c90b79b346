"""Tables as text and as HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Table", "aligned", "format_bytes"]

#: Rows of a table that are shown; the others are counted.
_MOST_ROWS = 40
#: Cells of HTML with at most this many characters, such as shapes, stay on one line.
_ONE_LINE = 24


def aligned(
    rows: Sequence[Sequence[str]], right: Sequence[bool], least: int = 0
) -> list[str]:
    r"""Return rows as lines whose columns stand under each other.

    Parameters
    ----------
    rows : sequence of sequence of str
        Cells; all rows have the same number of them.
    right : sequence of bool
        For each column, whether its cells end at the same place, or begin there.
    least : int
        Smallest width of a column.

    Examples
    --------
    >>> from nengo_dl.support.tables import aligned
    >>> print("\n".join(aligned([("a", "1"), ("long", "100")], (False, True))))
    a       1
    long  100
    """
    widths = [max(least, *map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]


@dataclass(frozen=True)
class Table:
    """Rows of cells under a title.

    Attributes
    ----------
    title : str
        What is shown.
    columns : tuple of str
        Headings; those that end in ``>`` (which is not shown) are aligned right.
    rows : list of tuple of str
        Cells.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    @property
    def _headings(self) -> list[str]:
        return [column.rstrip(">") for column in self.columns]

    @property
    def _shown(self) -> list[tuple[str, ...]]:
        return list(self.rows[:_MOST_ROWS])

    @property
    def _more(self) -> str:
        more = len(self.rows) - _MOST_ROWS
        return f"... and {more} more" if more > 0 else ""

    def text(self) -> str:
        """Return the table as lines of text."""
        lines = [tuple(self._headings), *self._shown]
        right = [column.endswith(">") for column in self.columns]
        found = [self.title, *(f"  {line}" for line in aligned(lines, right))]
        if self._more:
            found.append(f"  {self._more}")
        return "\n".join(found)

    def html(self) -> str:
        """Return the table as HTML, for notebooks."""

        def row(cells: Sequence[str], tag: str) -> str:
            found = []
            for cell, column in zip(cells, self.columns, strict=True):
                style = f"text-align: {'right' if column.endswith('>') else 'left'}"
                if len(cell) <= _ONE_LINE:
                    style += "; white-space: nowrap"
                found.append(f'<{tag} style="{style}">{html.escape(cell)}</{tag}>')
            return f"<tr>{''.join(found)}</tr>"

        rows = "".join(row(cells, "td") for cells in self._shown)
        more = f"<p>{html.escape(self._more)}</p>" if self._more else ""
        head = f"<thead>{row(self._headings, 'th')}</thead>"
        return (
            f"<h4>{html.escape(self.title)}</h4>"
            f"<table>{head if any(self._headings) else ''}"
            f"<tbody>{rows}</tbody></table>{more}"
        )


def format_bytes(n_bytes: int) -> str:
    """Return a number of bytes with a unit that suits it.

    Examples
    --------
    >>> from nengo_dl.support.tables import format_bytes
    >>> format_bytes(120), format_bytes(5 * 2**20)
    ('120 B', '5.0 MiB')
    """
    size = float(n_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{n_bytes} B" if unit == "B" else f"{size:.1f} {unit}"
