"""A class for every pixel, where pictures look unlike those that were labelled."""
