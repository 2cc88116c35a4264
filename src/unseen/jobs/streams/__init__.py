"""Streams of tasks: a model that goes on learning, and what it forgot."""
