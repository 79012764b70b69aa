"""What the whole business is worth and how it keeps its customers, each figure as of a moment."""
