"""Connectors to shops."""
