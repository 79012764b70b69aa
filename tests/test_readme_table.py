"""The README's table of traits is the catalog's."""

from tests.trait_table import README, with_table


def test_the_table_of_traits_is_that_of_the_catalog() -> None:
    text = README.read_text()
    assert with_table(text) == text, "run python -m tests.trait_table"
