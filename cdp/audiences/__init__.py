"""Audiences: a segment to be written to, after consent; who is held out; and what it did."""
