"""Image-text models made small: `unseen shrink`."""
