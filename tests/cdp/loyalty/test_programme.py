"""The programme's document: what it takes, and how it tells what is wrong with it."""

from pathlib import Path

import msgspec
import pytest

from cdp.errors import BadInput
from cdp.loyalty import programme as documents
from cdp.loyalty.programme import Programme, parse_programme

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "loyalty.toml"

TIERS = '[tiers]\n[[tiers.levels]]\nname = "A"\nthreshold = 10\n'
EARN = '[[earn]]\nname = "x"\n'


def test_the_example_is_taken_and_shows_every_key() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    parse_programme(text)
    keys = {
        field
        for part in vars(documents).values()
        if isinstance(part, type) and issubclass(part, msgspec.Struct)
        for field in part.__struct_fields__
    }
    assert not {key for key in keys if key not in text}


def test_a_programme_with_a_name_alone_offers_nothing() -> None:
    assert parse_programme('name = "x"') == Programme(name="x")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name = ", "not TOML"),
        ("name = " + "[" * 20_000, "nested too deep"),
        (".".join("a" * 20_000) + " = 1", "dots"),
        ("#" * 70_000, "longer than"),
        ("", "name"),
        ("nmae = 1", "nmae"),
        (EARN + 'kind = "spend"\npoints_per_unit = -1', "-1"),
        (EARN + 'kind = "spend"\npoints_per_unit = inf', "Infinity"),
        (EARN + 'kind = "spend"\npoints_per_unit = nan', "NaN"),
        (EARN + 'kind = "spending"\npoints_per_unit = 1', "spending"),
        (EARN + 'kind = "category"\ncategories = []\npoints_per_unit = 1', "categories"),
        (
            EARN + 'kind = "campaign"\nstarts_on = 2026-02-01\nends_on = 2026-01-01\npoints = 1',
            "ends before it starts",
        ),
        (
            EARN + 'kind = "campaign"\nstarts_on = 2026-01-01\nends_on = 2026-01-02',
            "either multiplier or points",
        ),
        (2 * (EARN + 'kind = "birthday"\npoints = 1\n'), "'x' twice"),
        (TIERS + '[[tiers.levels]]\nname = "B"\nthreshold = 10', "must rise"),
        (TIERS + '[[reward]]\nname = "r"\npoints = 1\nleast_tier = "Z"', "'Z'"),
        ('[paid]\nplans = ["p"]\ntier = "A"', "'A'"),
        ("[points]\npending_days = 60\nexpire_after_months = 1", "while they are pending"),
        (
            '[[challenge]]\nname = "c"\nstarts_on = 2026-01-01\nends_on = 2026-01-02\norders = 1',
            "neither points nor a badge",
        ),
    ],
)
def test_a_fault_is_told_with_its_place(text: str, fault: str) -> None:
    named = text if text == "" or text.startswith("n") else f'name = "x"\n{text}'
    with pytest.raises(BadInput, match=fault):
        parse_programme(named)
