"""A collection of image-text pairs in the browser and over HTTP: search, filter, look, export."""
