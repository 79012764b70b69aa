"""The worked example of the page on imports is what happens."""

import re
from pathlib import Path

import msgspec

from cdp.delivery import Received
from connectors.generic.items import Meter
from connectors.generic.map_file import parse_map
from connectors.generic.mapping import Mapper, Tally
from connectors.generic.readers import read_rows

PAGE = Path(__file__).resolve().parents[3] / "docs" / "import.md"


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found, language
    return found[1]


def test_worked_example_gives_the_records_that_the_page_shows(tmp_path: Path) -> None:
    path = tmp_path / "till.csv"
    path.write_text(block("csv"))
    tally = Tally()
    mapper = Mapper(parse_map(block("toml").encode()), "till.csv, line ", tally)
    records = []
    for delivery in mapper.deliveries(read_rows(path, Meter())):
        assert isinstance(delivery, Received), delivery
        built = msgspec.json.decode(msgspec.json.encode(delivery.record))
        records.append({"stream": delivery.record.stream, **built})
    assert records == [msgspec.json.decode(line) for line in block("jsonl").splitlines()]
    assert tally.untaken == 0
