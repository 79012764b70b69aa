"""The table of streams in docs/import.md is that of the records."""

from tests.stream_table import PAGE, with_table


def test_the_table_of_streams_is_that_of_the_records() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_table(text) == text, "run python -m tests.stream_table"
