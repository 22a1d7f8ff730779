"""Tables: columns line up, and a cell is shown as it is."""

from lookalike.runner.tables import make_table, table_as_text


def test_columns_line_up_and_numbers_stand_to_the_right():
    shown = table_as_text(make_table(("name", "items"), [("a", 7), ("bcde", "1,234")], numbers=(1,)))
    assert [line.strip() for line in shown.splitlines() if line.strip(" ─")] == [
        "name   items",
        "a          7",
        "bcde   1,234",
    ]


def test_a_cell_is_no_markup_and_is_not_cut():
    name = "[red]" + "x" * 300
    assert name in table_as_text(make_table(("class",), [(name,)]))
