"""Connectors to social networks."""
