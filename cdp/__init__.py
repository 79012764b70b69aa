"""The domain: records, identity, facts, traits; knows PostgreSQL, no GraphQL and no vendor."""
