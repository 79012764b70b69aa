"""The partition of everybody at once, by columns: what hardly anybody doubts is not walked."""
