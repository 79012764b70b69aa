"""The sample business: made-up people with a known truth, and what four vendors know of them."""
