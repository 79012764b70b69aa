"""The environment, read once into a frozen object."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cdp.errors import BadInput


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says.

    `database_url` is None where the embedded PostgreSQL in `home` is to be used. `workspace` holds
    the workspace keys that the environment overrides (`CDP_CURRENCY` gives `currency`, ...).
    """

    database_url: str | None
    home: Path
    workspace: Mapping[str, str]


WORKSPACE_VARIABLES = {
    "CDP_CURRENCY": "currency",
    "CDP_REGION": "region",
    "CDP_TIMEZONE": "timezone",
    "CDP_HORIZON_DAYS": "horizon_days",
    "CDP_DISCOUNT_RATE": "discount_rate",
    "CDP_MARGIN": "margin",
}


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the environment; nothing else in the project looks at it for these names.

    Raises BadInput, which does not show it, for a value that is no UTF-8.
    """
    for name in ("CDP_DATABASE_URL", "CDP_HOME", *WORKSPACE_VARIABLES):
        try:
            environ.get(name, "").encode()
        except UnicodeEncodeError:
            raise BadInput(f"{name} is no UTF-8.", todo="Write it in UTF-8.") from None
    return Settings(
        database_url=environ.get("CDP_DATABASE_URL") or None,
        home=Path(environ.get("CDP_HOME") or ".cdp").absolute(),
        workspace={
            key: environ[name] for name, key in WORKSPACE_VARIABLES.items() if environ.get(name)
        },
    )
