"""Systems for pictures and texts together."""
