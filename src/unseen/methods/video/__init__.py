"""Systems that learn from clips: image models that learn time."""
