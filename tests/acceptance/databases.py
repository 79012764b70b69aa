"""Fresh migrated databases, as many as a test wants."""

from dataclasses import dataclass
from secrets import token_hex

import asyncpg
from sqlalchemy.engine import make_url


@dataclass(frozen=True, slots=True)
class Databases:
    """Copies of a migrated database of a server."""

    server_url: str
    template: str
    made: list[str]

    async def fresh(self) -> str:
        """The URL of one more."""
        name = f"{self.template}_{token_hex(4)}"
        await self._administer(f'CREATE DATABASE "{name}" TEMPLATE "{self.template}"')
        self.made.append(name)
        return make_url(self.server_url).set(database=name).render_as_string(hide_password=False)

    async def drop(self) -> None:
        """Remove them all."""
        while self.made:
            await self._administer(f'DROP DATABASE "{self.made.pop()}" WITH (FORCE)')

    async def _administer(self, statement: str) -> None:
        connection = await asyncpg.connect(self.server_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
