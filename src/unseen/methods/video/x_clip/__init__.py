"""X-CLIP: an image-text model that recognizes videos, by frames that talk and prompts that look at the video."""

from unseen.methods.video.x_clip.method import XCLIP

__all__ = ["XCLIP"]
