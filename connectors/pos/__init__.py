"""Connectors to tills."""
