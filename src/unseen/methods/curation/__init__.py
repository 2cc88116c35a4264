"""Web-scale image-text data: filtered, pruned, measured."""
