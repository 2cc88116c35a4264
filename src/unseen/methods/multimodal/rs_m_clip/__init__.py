"""RS-M-CLIP: an image-text model learns a special domain from captions in several languages and its own crops."""

from unseen.methods.multimodal.rs_m_clip.method import RSMCLIP

__all__ = ["RSMCLIP"]
