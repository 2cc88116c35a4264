"""How often classes occur in what a model was trained on, and what follows."""
