"""Captions of sounds: our beam search over prompts of vectors beside `transformers.generate` of the same decoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from common import Row, in_turns, row

from unseen.methods.multimodal.audio_captioning.prompts import soft_prompt
from unseen.nn.beam import Prompts, beam_search
from unseen.nn.captioners import causal_decoder

SOUNDS, WIDTH, LONGEST, BEAM, LENGTH = 32, 512, 30, 5, 10
GPT2 = {"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257, "n_positions": 1024}


def run() -> list[Row]:
    """One sound, and a batch of sounds; GPT-2's size with fresh weights, whose search never ends early."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    decoder: Any = causal_decoder({**GPT2, "eos_token_id": 50256, "bos_token_id": 50256}, tokenizer()).eval()
    soft = soft_prompt(WIDTH, LENGTH, decoder.width, "mlp", 1)
    e = torch.nn.functional.normalize(torch.as_tensor(np.random.default_rng(0).normal(size=(SOUNDS, WIDTH))).float())
    return [compared(decoder, soft, e[:n], repeats=3) for n in (1, SOUNDS)]


def compared(decoder: Any, soft: Any, e: torch.Tensor, repeats: int) -> Row:
    """Seconds of both for these vectors, after checking that they say the same."""
    x = soft(e).detach()
    mask = torch.ones(x.shape[:2], dtype=torch.bool)
    search = {"width": BEAM, "longest": LONGEST}

    def ours() -> list[list[int]]:
        return beam_search(decoder, Prompts(x, mask), **search)

    def theirs() -> Any:
        with torch.no_grad():
            return decoder.model.generate(
                inputs_embeds=x, attention_mask=mask.long(), num_beams=BEAM, max_new_tokens=LONGEST, do_sample=False,
                length_penalty=0.0, pad_token_id=50256,
            )  # fmt: skip

    said = [row[: len(own)] == own for row, own in zip(theirs().tolist(), ours())]
    taken, peers = in_turns(ours, theirs, repeats=repeats)
    job = f"{len(e)} captions of at most {LONGEST} tokens, beam {BEAM}, GPT-2's size"
    return row(job, taken, "transformers.generate", peers, floor=">= 0.9", same=f"{sum(said)} of {len(said)}")


def tokenizer() -> str:
    """A tokenizer of bytes as JSON: what decodes is not timed."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({chr(33 + i): i for i in range(90)}, unk_token="!"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.WordPiece()
    return made.to_str()
