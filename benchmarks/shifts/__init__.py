"""A benchmark of distribution shifts: families of ordered pairs of domains, wide enough to learn a rule from."""
