"""Statements that are compiled once: what is asked often is sent as the same text each time.

Building a statement, or only finding it in SQLAlchemy's cache, walks all of it: that takes longer
than the database takes to answer for a few customers. A text that stays the same is also what the
server keeps a plan of.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import asyncpg
from sqlalchemy import BindParameter, Enum, Executable, Select, bindparam
from sqlalchemy.dialects.postgresql import asyncpg as dialects
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_Reader: TypeAlias = "Callable[[Any], Any] | None"

_DIALECT: Final = dialects.dialect()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Statement:
    """A text and, in the order of its parameters, the name of each that is given when it is run.

    `fixed`: the values of the others, by name, as the driver takes them. `readers`: what makes of a
    column's value that of its type; None where the driver's own is.
    """

    text: str
    names: tuple[str, ...]
    fixed: Mapping[str, object]
    readers: tuple[_Reader, ...]

    async def fetch(self, driver: Driver, values: Mapping[str, object]) -> Sequence[Sequence[Any]]:
        """Run it; the rows, each with its values in the order of the columns."""
        each = (self.fixed[name] if name in self.fixed else values[name] for name in self.names)
        rows = await driver.fetch(self.text, *each)
        if not any(self.readers):
            return [tuple(row) for row in rows]
        return [
            [
                value if read is None else read(value)
                for value, read in zip(row, self.readers, strict=True)
            ]
            for row in rows
        ]


def given(name: str, type_: TypeEngine[Any]) -> BindParameter[Any]:
    """A parameter whose value is given whenever the statement is run."""
    return bindparam(name, None, type_)


def compiled(statement: Executable) -> Statement:
    """The statement as text, for which all that is not `given` is fixed."""
    found = render(statement)
    # What is fixed has a name of SQLAlchemy's own making; the members of a list are no `binds`.
    binds = found.compiler.binds
    fixed = [name for name in found.names if name not in binds or binds[name].unique]
    return Statement(
        found.text,
        found.names,
        {name: found.value(name) for name in fixed},
        tuple(map(_reader, statement.selected_columns)) if isinstance(statement, Select) else (),
    )


@dataclass(frozen=True, slots=True)
class Rendered:
    """A statement as text, and the names of its parameters in their order.

    `params`: their values as they were bound. The compiler makes all of them anew whenever it is
    asked for them, so it is asked once.
    """

    text: str
    names: tuple[str, ...]
    params: Mapping[str, Any]
    compiler: SQLCompiler

    def value(self, name: str) -> object:
        """The value of a parameter as the driver takes it."""
        process = self.compiler._bind_processors.get(name)  # noqa: SLF001  they have no public name
        assert not isinstance(process, Sequence), "only tuples have several"
        value: object = self.params[name]
        return value if process is None else process(value)


def render(statement: Executable) -> Rendered:
    """The statement as the driver takes it."""
    compiler = statement.compile(  # type: ignore[attr-defined]  # all of ours are clauses
        dialect=_DIALECT, compile_kwargs={"render_postcompile": True}
    )
    assert isinstance(compiler, SQLCompiler)
    names = tuple(compiler.positiontup or ())
    return Rendered(str(compiler), names, compiler.params, compiler)


def _reader(column: Any) -> _Reader:  # noqa: ANN401  whatever may stand in a SELECT
    """Of an enum its member; of all others the driver makes what is wanted."""
    if not isinstance(column.type, Enum):
        return None
    reader: _Reader = column.type.dialect_impl(_DIALECT).result_processor(_DIALECT, None)
    return reader
