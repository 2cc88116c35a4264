"""A saved model in service: HTTP with limits and micro-batches, and one offline web page."""
