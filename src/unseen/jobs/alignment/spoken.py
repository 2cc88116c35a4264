"""Which language something is in: codes, columns of them, and templates that begin with one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.class_file import check_prompts
from unseen.data.classes import ClassSpace
from unseen.methods.multimodal.rs_m_clip import RSMCLIP
from unseen.methods.multimodal.rs_m_clip.asking import TEMPLATE

CODE = re.compile(r"[a-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
ENGLISH = "en"
SPOKEN = re.compile(rf"({CODE.pattern})=(.+)", re.DOTALL)
"""A prompt with the language that it is in: ``de=ein Bild von {}.``"""


def codes_of(languages: Sequence[str], argument: str = "languages") -> tuple[str, ...]:
    """Codes of languages, each once; `ValueError` for what is none."""
    codes = tuple(dict.fromkeys(code.strip() for code in languages if code.strip()))
    wrong = [code for code in codes if not CODE.fullmatch(code)]
    if not codes or wrong:
        raise ValueError(f"{argument} must be codes such as en, de, zh; got {', '.join(wrong) or 'none'}")
    return codes


def spelt_as(codes: Iterable[str], languages: NDArray[np.str_]) -> NDArray[np.str_]:
    """A column of languages in the spelling of some codes: EN and " en" are en, pt_BR is pt-br; all others stay."""
    known = {_plain_code(code): code for code in codes}
    return np.array([known.get(_plain_code(code), code.strip()) for code in languages.tolist()], dtype=np.str_)


def _plain_code(code: str) -> str:
    return code.strip().casefold().replace("_", "-")


def silent(spoken: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Where a column of languages says nothing."""
    return np.isin(np.char.strip(np.char.lower(spoken.astype(np.str_))), ["", "nan", "none"])


def templates_in(
    prompts: Sequence[str] | None, source: str, learnt: Sequence[str], translated: bool = False
) -> dict[str, tuple[str, ...]]:
    """Templates by language, each of which is learnt or that of the captions.

    Where none are told, an English one if English is learnt, or will be `translated`; else the names alone, in a
    language that is learnt.
    """
    if not prompts:
        if source == ENGLISH and (source in learnt or translated):
            return {source: (TEMPLATE,)}
        return {source if source in learnt else learnt[0]: ("{}",)}
    templates: dict[str, list[str]] = {}
    codes = {*learnt, source}
    for prompt in prompts:
        match = SPOKEN.fullmatch(prompt)
        code, text = (match[1], match[3]) if match else (source, prompt)
        check_prompts([text])
        if code not in codes:
            raise ValueError(
                f"prompts: {prompt!r} is in {code}, which is none of the languages, {', '.join(sorted(codes))}"
            )
        templates.setdefault(code, []).append(text)
    return {code: tuple(texts) for code, texts in templates.items()}


def asked_otherwise(method: Any, space: ClassSpace, prompts: Sequence[str] | None) -> tuple[Any, tuple[str, ...]]:
    """A model whose text tower stands in it, asked about other classes, and its templates."""
    if isinstance(method, RSMCLIP):
        spoken = templates_in(prompts, method.source_language, method.languages_)
        return method.adapt(classes=space, prompts=spoken), sum(spoken.values(), ())
    method = method.adapt(classes=space, prompts=prompts)
    return method, tuple(method.templates_)
