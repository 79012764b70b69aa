"""The types of the graph, one file each: fields that say what they are in SQL."""
