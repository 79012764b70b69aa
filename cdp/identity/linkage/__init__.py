"""Probabilistic linkage in batch: candidates, comparisons, weights, and cuts made for the data."""
