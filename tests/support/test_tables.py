"""Tables of reports, as text and as HTML."""

from nengo_dl.support.tables import Table


def test_html_keeps_short_cells_on_one_line_and_wraps_long_ones():
    html = Table("Sizes", ("name", "size>"), [("a " * 30, "2 x 3")]).html()
    assert 'right; white-space: nowrap">2 x 3<' in html
    assert 'left">a a' in html


def test_html_without_headings_has_no_empty_row_of_them():
    assert "thead" not in Table("Simulator", ("", ""), [("time", "1 s")]).html()
    assert "thead" in Table("Simulator", ("name", ""), [("time", "1 s")]).html()
