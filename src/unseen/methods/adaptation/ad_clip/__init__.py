"""AD-CLIP: adapt a frozen two-tower model to another domain by prompts made of the style and content of images."""

from unseen.methods.adaptation.ad_clip.method import ADCLIP

__all__ = ["ADCLIP"]
