"""Sources of customer data: each module turns what one vendor says into canonical records."""
