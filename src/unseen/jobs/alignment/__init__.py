"""`unseen align`: two modalities in one space, by pairs and a frozen tower."""
