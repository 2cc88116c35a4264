"""Captions of sounds by a captioner that has learnt from texts alone."""

from unseen.methods.multimodal.audio_captioning.augmentation import MixedAugmentation
from unseen.methods.multimodal.audio_captioning.method import AudioCaptioning
from unseen.methods.multimodal.audio_captioning.prompts import HardPrompt, PrefixCaptioner, SoftPrompt

__all__ = ["AudioCaptioning", "HardPrompt", "MixedAugmentation", "PrefixCaptioner", "SoftPrompt"]
