"""Traits: named expressions over one customer's row; the catalog lists them all."""
