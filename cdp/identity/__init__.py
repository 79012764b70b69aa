"""Identity: a deterministic partition of source profiles into customers, from evidence alone."""
