"""How well a few labelled samples name classes: few-shot episodes."""
