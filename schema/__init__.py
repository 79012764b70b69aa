"""The GraphQL wing: selections become statements, refusals become errors; it decides nothing."""
