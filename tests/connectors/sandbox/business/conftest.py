"""One small business for all tests of it, since telling it takes a second."""

from datetime import UTC, datetime

import pytest

from connectors.sandbox.business.business import Business, open_business

UNTIL = datetime(2026, 6, 15, 13, 30, tzinfo=UTC)


@pytest.fixture(scope="session")
def business() -> Business:
    """A thousand people up to a fixed day."""
    return open_business(seed=7, customers=1000, until=UNTIL)
