"""What the figures of episodes are called."""

NAMES = {
    "accuracy": "accuracy",
    "auroc": "AUROC known",
    "open_accuracy": "open accuracy",
    "unknown_accuracy": "unknown rejected",
}
