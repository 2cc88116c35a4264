"""From captions to lemmas: tokens, four lemmatisers, and what they know of nouns."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable

Lemmatizer = Callable[[str], str]

LEMMATIZERS = ("rules", "simplemma", "spacy", "none")
"""What `lemmatizer` knows: our rules for English plurals, two packages, and lower case alone (the paper's ablation)."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_POSSESSIVE = re.compile(r"['’]s?$")

_IRREGULAR = {
    "men": "man", "women": "woman", "children": "child", "people": "person", "persons": "person", "feet": "foot",
    "teeth": "tooth", "geese": "goose", "mice": "mouse", "lice": "louse", "oxen": "ox", "dice": "die",
    "knives": "knife", "wives": "wife", "lives": "life", "leaves": "leaf", "loaves": "loaf", "wolves": "wolf",
    "calves": "calf", "halves": "half", "shelves": "shelf", "elves": "elf", "thieves": "thief", "scarves": "scarf",
    "hooves": "hoof", "cacti": "cactus", "fungi": "fungus", "nuclei": "nucleus", "radii": "radius",
    "indices": "index", "vertices": "vertex", "matrices": "matrix", "criteria": "criterion", "larvae": "larva",
    "axes": "axe", "shoes": "shoe", "toes": "toe", "canoes": "canoe", "horseshoes": "horseshoe", "movies": "movie",
    "cookies": "cookie", "pies": "pie", "ties": "tie", "brownies": "brownie", "zombies": "zombie", "selfies": "selfie",
    "hoodies": "hoodie", "smoothies": "smoothie", "calories": "calorie", "pixies": "pixie", "species": "species",
    "series": "series", "buses": "bus", "gases": "gas", "quizzes": "quiz", "caches": "cache", "headaches": "headache",
    "avalanches": "avalanche", "quiches": "quiche", "lenses": "lens", "irises": "iris", "walruses": "walrus",
    "octopuses": "octopus", "platypuses": "platypus", "viruses": "virus", "crocuses": "crocus",
    "taxis": "taxi", "skis": "ski", "kiwis": "kiwi", "okapis": "okapi", "bikinis": "bikini", "safaris": "safari",
    "emus": "emu", "gnus": "gnu", "menus": "menu", "tsunamis": "tsunami", "jacuzzis": "jacuzzi", "martinis": "martini",
    "zucchinis": "zucchini", "salamis": "salami", "kris": "kris", "wallabies": "wallaby", "rabbis": "rabbi",
    "khakis": "khaki", "alibis": "alibi", "yetis": "yeti", "koalas": "koala", "tatamis": "tatami", "haikus": "haiku",
    "hippopotamuses": "hippopotamus", "cactuses": "cactus", "campuses": "campus", "circuses": "circus",
}  # fmt: skip

_SINGULAR = frozenset({
    "always", "axis", "across", "analysis", "as", "atlas", "basis", "bias", "bus", "canvas", "chaos", "christmas",
    "cosmos", "cutlass", "dais", "gas", "gymnasts", "has", "his", "iris", "its", "is", "jeans", "lens", "less",
    "lotus", "mars", "news", "oasis", "octopus", "paris", "physics", "plus", "pus", "sans", "scissors", "series",
    "shorts", "species", "status", "tennis", "this", "thus", "trousers", "us", "venus", "virus", "walrus", "was",
    "yes", "pancreas", "pants", "glasses", "goggles", "pliers", "tongs", "binoculars", "headquarters", "athletics",
    "mathematics", "gymnastics", "arkansas", "texas", "kansas",
})  # fmt: skip


def words(text: str) -> list[str]:
    """Words of a text in lower case; hyphens, underscores and punctuation part them, a possessive is dropped."""
    lowered = text.lower() if text.isascii() else unicodedata.normalize("NFC", text).lower()
    return [word for raw in _WORD.findall(lowered) if (word := _POSSESSIVE.sub("", raw))]


def singular(word: str) -> str:
    """The singular of an English noun by a few rules; a word that is none stays, unless it looks like a plural.

    Rules see endings, not sentences: "plays" becomes "play", "playing" stays. Captions and concepts go through the
    same rules, so that a wrong lemma is wrong on both sides and counts as well as a right one.
    """
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or not word.endswith("s") or word in _SINGULAR or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 else word[:-1]
    if word.endswith(("ches", "shes", "xes", "sses", "zzes", "oes")):
        return word[:-2]
    return word[:-1]


def lemmatizer(name: str = "rules") -> Lemmatizer:
    """A function from a word in lower case to its lemma.

    Parameters
    ----------
    name : {"rules", "simplemma", "spacy", "none"}
        Our rules for plurals; simplemma's English dictionary (verbs, too); the lemmas of spaCy's ``en_core_web_sm``
        for single words; or the word itself.

    Raises
    ------
    ValueError
        If there is no lemmatiser of this name.
    ImportError
        If its package is not installed.
    """
    if name not in LEMMATIZERS:
        raise ValueError(f"lemmas must be one of {', '.join(LEMMATIZERS)}; got {name!r}")
    if name == "none":
        return str
    if name == "rules":
        return singular
    return _simplemma() if name == "simplemma" else _spacy()


def _simplemma() -> Lemmatizer:
    try:
        from simplemma import lemmatize
    except ImportError as error:
        raise ImportError("lemmas 'simplemma' need simplemma: pip install 'unseen[curate]'") from error
    return lambda word: lemmatize(word, lang="en").lower()


@functools.cache
def _spacy_pipeline() -> Callable[[str], Iterable]:
    try:
        import spacy
    except ImportError as error:
        raise ImportError("lemmas 'spacy' need spaCy: pip install spacy, or take 'rules' or 'simplemma'") from error
    try:
        return spacy.load("en_core_web_sm", disable=["parser", "ner"])
    except OSError as error:
        raise ImportError("spaCy has no en_core_web_sm: python -m spacy download en_core_web_sm") from error


def _spacy() -> Lemmatizer:
    pipeline = _spacy_pipeline()
    return lambda word: "".join(token.lemma_ for token in pipeline(word)).lower()


# -- concepts in texts -------------------------------------------------------------------------------------


@functools.cache
def visible_nouns() -> frozenset[str]:
    """Lemmas of the last words of all noun synsets of ImageNet-21k, as timm ships them: things that can be seen."""
    from timm.data import ImageNetInfo

    told = ImageNetInfo("imagenet21k").label_descriptions()
    names = [name for text in told for name in text.split(",")]
    return frozenset(singular(found[-1]) for name in names if (found := words(name)) and len(found[-1]) > 2)


def nouns(texts: Iterable[str], lexicon: Iterable[str] | None = None) -> list[tuple[str, ...]]:
    """The nouns of every text, as lemmas in their order, each once: concepts of retrieval captions and prompts.

    Parameters
    ----------
    texts : iterable of n str
        Captions of a retrieval test set, or prompts of a generator.
    lexicon : iterable of str, optional
        Which lemmas are nouns; `visible_nouns` if absent. The paper takes what spaCy tags as NOUN.
    """
    known = visible_nouns() if lexicon is None else frozenset(lexicon)
    return [tuple(dict.fromkeys(x for x in map(singular, words(text)) if x in known)) for text in texts]
