"""Mug-STAN: an image-text model that finds videos by captions that fit but a part of them, and sees along time."""

from unseen.methods.video.mug_stan.method import MugSTAN

__all__ = ["MugSTAN"]
