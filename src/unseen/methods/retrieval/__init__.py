"""Documents ranked for queries, in collections without labels."""
