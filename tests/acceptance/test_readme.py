"""The README tells the truth: its commands run, and its queries are answered as it says.

A fenced block of `sh` is run line by line, unless its info string says `norun`. A block of
`graphql demo` is asked of the sample business, and the block of `json demo` after it has the shape
of the answer: its values change from day to day, since the business ends today. A word such as
`reviewId=matchReviews.nodes.0.id` gives a variable, taken from the answer before.
"""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import httpx
import msgspec
import pytest

from tests.acceptance.first_demo import FirstDemo
from tests.acceptance.running import PATIENCE_SECONDS, ROOT, asked, served
from tests.server import Server

BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

Value: TypeAlias = Any
"""JSON whose shape the README says."""


class Block(NamedTuple):
    """A fenced block: its language, what else its info string says, and its text."""

    language: str
    words: tuple[str, ...]
    text: str


def blocks() -> list[Block]:
    """Every fenced block of the README that has a language."""
    text = (ROOT / "README.md").read_text()
    return [Block(found[1], tuple(found[2].split()), found[3]) for found in BLOCK.finditer(text)]


def commands() -> list[tuple[str, ...]]:
    """The commands that can be run here and now, block by block: one may need those above it."""
    found = [
        tuple(
            line.partition("  #")[0].strip()
            for line in block.text.splitlines()
            if line.strip() and not line.startswith("#")
        )
        for block in blocks()
        if block.language in ("sh", "console") and "norun" not in block.words
    ]
    return [lines for lines in found if lines]


def questions() -> list[tuple[Block, str]]:
    """Each query of the README with its answer."""
    return [
        (question, answer.text)
        for question, answer in pairwise(blocks())
        if (question.language, answer.language) == ("graphql", "json") and "demo" in question.words
    ]


def variables(question: Block, before: Value) -> dict[str, object]:
    """What the info string of a query takes from the answer before."""
    given: dict[str, object] = {}
    for name, equals, path in (word.partition("=") for word in question.words):
        value = before
        for step in path.split(".") if equals else ():
            value = value[int(step)] if isinstance(value, list) else value[step]
        if equals:
            given[name] = value
    return given


def shape(value: object) -> object:
    """What kind of answer it is: names, lists of one kind, and the kind of each value."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    if isinstance(value, list):
        assert value, "an empty list shows nothing"
        return [shape(value[0])]
    if isinstance(value, str) and re.fullmatch(r"-?\d+\.\d+", value):
        return "money"
    return type(value).__name__


@pytest.fixture(scope="module")
def demo_url(server: Server, demo: FirstDemo) -> Iterator[str]:
    """A database with the sample business in it."""
    assert demo.said.code == 0, demo.said.err
    with server.copy(demo.database) as url:
        yield url


def test_readme_shows_commands_and_questions() -> None:
    assert commands()
    assert questions()


@pytest.mark.parametrize("lines", commands(), ids=lambda lines: lines[0])
def test_commands_of_the_readme_run(lines: tuple[str, ...], demo_url: str) -> None:
    for command in lines:
        program, *arguments = shlex.split(command)
        assert program == "cdp", "mark the block norun, or write it as a command of cdp"
        said = asked(*arguments, CDP_DATABASE_URL=demo_url)
        assert said.code == 0, f"{command}: {said.err}"


def test_answers_of_the_readme_are_those_of_the_demo(demo_url: str) -> None:
    data: object = None
    with served(CDP_DATABASE_URL=demo_url) as url:
        for question, answer in questions():
            body = {"query": question.text, "variables": variables(question, data)}
            post = httpx.post(
                f"{url}/graphql", json=body, trust_env=False, timeout=PATIENCE_SECONDS
            )
            got = post.json()
            assert "errors" not in got, got["errors"]
            data, wanted = got["data"], msgspec.json.decode(answer)
            assert shape(data) == shape(wanted.get("data", wanted))
