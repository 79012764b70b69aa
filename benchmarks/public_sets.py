"""Public sets of people told several times: files for `cdp import`, their maps, and the truth."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow.parquet as pq

from benchmarks.command import ROOT

PUBLIC_SETS: Final = ROOT.parent / "shared" / "data" / "identity"
"""Beside the checkout; febrl of the Febrl generator, fake_1000 and historical_50k of Splink's."""

Row: TypeAlias = Mapping[str, str]

_FEBRL: Final = """
[[record]]
stream = "customers"

[record.columns]
id = "rec_id"
first_name = "given_name"
last_name = "surname"
birth_date = { column = "date_of_birth", format = "%Y%m%d" }
street = "street"
city = "suburb"
region = "state"
postal_code = "postcode"
country = { constant = "AU" }
external_ids = "external_ids"
"""
_FAKE: Final = """
[[record]]
stream = "customers"

[record.columns]
id = "unique_id"
first_name = "first_name"
last_name = "surname"
birth_date = "dob"
city = "city"
email = "email"
"""
_HISTORICAL: Final = """
[[record]]
stream = "customers"

[record.columns]
id = "unique_id"
first_name = "first_name"
last_name = "surname"
birth_date = "dob"
gender = "gender"
city = "birth_place"
postal_code = "postcode_fake"
country = { constant = "GB" }

[record.attributes]
occupation = "occupation"
"""


@dataclass(frozen=True, slots=True)
class PublicSet:
    """A set: its map in TOML, and its rows, each with the truth about it in the column `truth`."""

    name: str
    map_text: str
    rows: Callable[[], Iterator[Row]]

    def write(self, folder: Path) -> tuple[Path, Path, Mapping[str, str]]:
        """Write rows and map into a folder; returns both, and key to true person."""
        rows = list(self.rows())
        path, map_path = folder / f"{self.name}.csv", folder / f"{self.name}.toml"
        columns = [name for name in rows[0] if name != "truth"]
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        map_path.write_text(self.map_text, encoding="utf-8")
        key = columns[0]
        return path, map_path, {row[key]: row["truth"] for row in rows}


def _febrl(*names: str) -> Iterator[Row]:
    for name in names:
        with (PUBLIC_SETS / "febrl" / f"{name}.csv").open(encoding="utf-8") as file:
            for raw in csv.DictReader(file, skipinitialspace=True):
                row = {column.strip(): (cell or "").strip() for column, cell in raw.items()}
                number = row.pop("soc_sec_id")
                row["date_of_birth"] = _possible(row["date_of_birth"], "%Y%m%d")
                row["street"] = f"{row['street_number']} {row['address_1']}".strip()
                row["external_ids"] = json.dumps({"soc_sec_id": number}) if number else ""
                yield {**row, "truth": row["rec_id"].split("-")[1]}


def _fake() -> Iterator[Row]:
    with (PUBLIC_SETS / "fake_1000" / "fake_1000.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield {**row, "dob": _possible(row["dob"], "%Y-%m-%d"), "truth": row["cluster"]}


def _historical() -> Iterator[Row]:
    path = PUBLIC_SETS / "historical_50k" / "historical_figures_with_errors_50k.parquet"
    for raw in pq.read_table(path).to_pylist():
        row = {column: str(cell or "") for column, cell in raw.items()}
        yield {**row, "dob": _possible(row["dob"], "%Y-%m-%d"), "truth": row["cluster"]}


def _possible(told: str, form: str) -> str:
    """The date as it is told; nothing for one that no calendar has, such as 1856-86-18."""
    try:
        parsed: date = datetime.strptime(told, form).date()  # noqa: DTZ007  # a day has no zone
    except ValueError:
        return ""
    return parsed.strftime(form) if parsed.year >= 1000 else told


SETS: Final = (
    PublicSet("febrl3", _FEBRL, lambda: _febrl("dataset3")),
    PublicSet("febrl4", _FEBRL, lambda: _febrl("dataset4a", "dataset4b")),
    PublicSet("fake_1000", _FAKE, _fake),
    PublicSet("historical_50k", _HISTORICAL, _historical),
)
