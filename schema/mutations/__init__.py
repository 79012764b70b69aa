"""What can be changed through the graph, one file each: an input, a use case, a payload."""
