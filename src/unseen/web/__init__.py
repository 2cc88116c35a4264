"""The browser app: which methods fit, what their evidence says, two runs side by side, a model tried on a sample."""
