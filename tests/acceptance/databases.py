"""Fresh migrated databases, as many as a test wants."""

from dataclasses import dataclass

from tests.server import Server


@dataclass(frozen=True, slots=True)
class Databases:
    """Copies of a migrated database of a server."""

    server: Server
    template: str
    made: list[str]

    async def fresh(self) -> str:
        """The URL of one more."""
        name = self.server.draw()
        await self.server.create(name, self.template)
        self.made.append(name)
        return self.server.url_of(name)

    async def drop(self) -> None:
        """Remove them all."""
        while self.made:
            await self.server.drop(self.made.pop())
