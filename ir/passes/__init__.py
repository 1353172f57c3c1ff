"""Graph -> Graph transformations."""
