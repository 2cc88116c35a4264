"""Documents for queries, in a collection of the user without labels."""
