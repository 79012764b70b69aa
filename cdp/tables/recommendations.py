"""Articles, and which of them are bought together."""

from sqlalchemy import (
    Column,
    Double,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
)

from cdp.tables.base import Instant, metadata

article = Table(
    "article",
    metadata,
    Column("code", Text, primary_key=True, comment="sku:SKU, else product:SOURCE:KEY."),
    Column("sku", Text),
    Column("title", Text),
    Column("category", Text),
    Column("price", Numeric),
    Column("currency", Text),
    Column("customers", Integer, nullable=False, comment="Who bought it."),
    comment="What is sold, across sources: the articles of the pairs, counted with them.",
)

article_pair = Table(
    "article_pair",
    metadata,
    Column("code", Text, nullable=False),
    Column("rank", Integer, nullable=False, comment="The best of its pairs is 1."),
    Column("other_code", Text, nullable=False),
    Column("customers", Integer, nullable=False, comment="Who bought both."),
    Column("lift", Double, nullable=False, comment="So many, per as many as by chance."),
    Column("score", Double, nullable=False, comment="The lift less one standard deviation."),
    Column("computed_at", Instant, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("code", "rank"),
    comment="Articles that the same customers buy; of each the best few. Counted as a whole.",
)
