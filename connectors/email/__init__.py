"""Connectors to newsletters and mail."""
