"""DAFOS-Net: few-shot classification in a new domain that also rejects unknown classes."""

from unseen.methods.few_shot.dafosnet.method import DAFOSNet

__all__ = ["DAFOSNet"]
