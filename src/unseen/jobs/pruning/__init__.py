"""Which image-text pairs to train on."""
