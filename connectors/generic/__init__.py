"""Connectors to what belongs to no vendor: files, events."""
