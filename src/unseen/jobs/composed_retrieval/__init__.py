"""Pictures found by another picture and a text: `unseen compose` and `unseen find`."""
