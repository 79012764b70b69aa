"""The loyalty programme: its terms, the ledger of points, and what both make of customers."""
