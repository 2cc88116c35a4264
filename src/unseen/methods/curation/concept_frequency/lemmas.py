"""From captions to lemmas: tokens, four lemmatisers, and what they know of nouns."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable

Lemmatizer = Callable[[str], str]

LEMMATIZERS = ("rules", "simplemma", "spacy", "none")
"""What `lemmatizer` knows: our rules for English plurals, two packages, and lower case alone (the paper's ablation)."""

_MARKED = (range(0x300, 0x1D00), range(0x1DC0, 0x1E00), range(0x20D0, 0x2100), range(0x3099, 0x309B),
           range(0xA600, 0xAC00), range(0xFE20, 0xFE30))  # fmt: skip
"""Blocks of Unicode with combining marks."""
_MARKS = "".join(chr(i) for block in _MARKED for i in block if unicodedata.category(chr(i)).startswith("M"))
_PLAIN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_WORD = re.compile(
    rf"[^\W_](?:[^\W_]|[{re.escape(_MARKS)}\u200c\u200d])*(?:['’][^\W_](?:[^\W_]|[{re.escape(_MARKS)}])*)*"
)
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
    "fezzes": "fez", "topazes": "topaz", "canvases": "canvas", "atlases": "atlas",
    "pancreases": "pancreas", "aliases": "alias", "smoothys": "smoothie", "rhinoceroses": "rhinoceros",
    "asparaguses": "asparagus", "thermoses": "thermos", "cosmoses": "cosmos", "albatrosses": "albatross",
}  # fmt: skip

_FINAL_E = frozenset({
    # -oe
    "toe", "tiptoe", "mistletoe", "doe", "roe", "foe", "floe", "hoe", "backhoe", "aloe", "sloe", "oboe", "canoe",
    "shoe", "snowshoe", "overshoe", "horseshoe", "felloe", "pekoe", "woe", "chigoe", "throe", "tuckahoe", "cohoe",
    "beroe",
    # -ie
    "pie", "tie", "die", "lie", "magpie", "potpie", "porkpie", "cowpie", "bowtie", "necktie", "crosstie", "movie",
    "cookie", "brownie", "zombie", "selfie", "hoodie", "smoothie", "calorie", "pixie", "prairie", "collie", "budgie",
    "birdie", "beanie", "brie", "genie", "eerie", "eyrie", "aerie", "veggie", "nightie", "sweetie", "auntie", "caddie",
    "bogie", "boogie", "crappie", "cowrie", "patisserie", "rotisserie", "brasserie", "charcuterie", "menagerie",
    "reverie", "lingerie", "camaraderie", "hankie", "talkie", "newbie", "rookie", "groupie", "foodie", "junkie",
    "goalie", "hippie", "pinkie", "townie", "yuppie", "cutie", "laddie", "lassie", "sortie", "dogie", "doggie",
    "dearie", "dickie", "dominie", "dovekie", "drambuie", "capercaillie", "corrie", "dassie", "floozie", "kiltie",
    "bootie", "cootie", "commie", "preemie", "premie", "ramie", "scottie", "sharpie", "wedgie", "weirdie", "organdie",
    "gillie", "girlie", "goonie", "hoagie", "indie", "kelpie", "bourgeoisie", "boxie", "biggie", "bookie", "walkie",
    # -che
    "ache", "headache", "toothache", "stomachache", "backache", "heartache", "earache", "moustache", "mustache",
    "cache", "cliche", "niche", "creche", "douche", "quiche", "brioche", "cartouche", "avalanche", "pastiche",
    "attache", "gouache", "panache", "cloche", "barouche", "apache", "comanche", "troche", "caleche", "penuche",
    "postiche", "orache", "soutache", "catananche", "psyche", "porsche",
    # -sse, -xe, -ze after z
    "wrasse", "bouillabaisse", "impasse", "crevasse", "finesse", "posse", "lacrosse", "mousse", "fosse", "demitasse",
    "pelisse", "cuisse", "tasse", "masse", "axe", "pickaxe", "poleaxe", "broadaxe", "breakaxe", "battleaxe", "deluxe",
})  # fmt: skip
"""Words whose final e a plural hides: "shoes" is no "sho", "movies" no "movy"."""

_ENDS_IN_S = frozenset({
    "iris", "trellis", "clematis", "portcullis", "chrysalis", "necropolis", "acropolis", "metropolis", "pelvis",
    "penis", "mantis", "ibis", "amaryllis", "orchis", "tennis", "chassis", "dais", "marquis", "cannabis", "coreopsis",
    "couscous", "burnous", "octopus", "bus", "virus", "gas", "lens", "bias", "christmas",
})  # fmt: skip
"""Words that take -es after their own s, where the ending does not tell."""

_VOWELS = frozenset({
    "taxi", "ski", "kiwi", "okapi", "bikini", "safari", "tsunami", "jacuzzi", "martini", "zucchini", "salami", "rabbi",
    "khaki", "alibi", "yeti", "tatami", "sari", "corgi", "coati", "agouti", "chapati", "chapatti", "chili", "chilli",
    "daiquiri", "dhoti", "deli", "dashiki", "basenji", "borzoi", "bonsai", "samurai", "alumni", "broccoli", "graffiti",
    "saluki", "saki", "shoji", "souvlaki", "spaghetti", "sufi", "sushi", "sashimi", "swami", "teriyaki", "tiki", "tipi",
    "topi", "wadi", "wapiti", "yogi", "zamboni", "zori", "uzi", "nilgai", "moai", "maxi", "mini", "midi", "semi", "pi",
    "koi", "poi", "emoji", "origami", "manatee", "wasabi", "hibachi", "israeli", "pakistani", "nazi", "mufti",
    "paparazzi", "calamari", "macaroni", "pepperoni", "ravioli", "panini", "biryani", "biriani", "frangipani",
    "potpourri", "etui", "titi", "uakari", "houri", "gharri", "caravanserai", "argali", "dziggetai", "kepi", "loggi",
    "emu", "gnu", "menu", "haiku", "tutu", "zebu", "coypu", "tofu", "guru", "kudu", "flu", "bayou", "caribou", "zulu",
    "ecru", "fichu", "nandu", "puku", "quipu", "tiramisu", "sou", "thou", "carcajou", "cachou", "tinamou", "you",
    "unau", "landau", "luau", "pilau", "tau", "tamarau", "impromptu", "parvenu", "cockatoo", "igloo", "unagi", "puli",
})  # fmt: skip
"""Words whose final i or u takes a plain s, which Latin and Greek singulars have, too ("iris", "bus")."""

_SINGULAR = frozenset({
    "always", "axis", "across", "analysis", "as", "atlas", "basis", "bias", "bus", "canvas", "chaos", "christmas",
    "cosmos", "cutlass", "dais", "gas", "gymnasts", "has", "his", "iris", "its", "is", "jeans", "lens", "less",
    "lotus", "mars", "news", "oasis", "octopus", "paris", "physics", "plus", "pus", "sans", "scissors", "series",
    "shorts", "species", "status", "tennis", "this", "thus", "trousers", "us", "venus", "virus", "walrus", "was",
    "yes", "pancreas", "pants", "glasses", "goggles", "pliers", "tongs", "binoculars", "headquarters", "athletics",
    "mathematics", "gymnastics", "arkansas", "texas", "kansas", "rhinoceros", "thermos", "triceratops", "cyclops",
    "schnapps", "sassafras", "molasses", "gallows", "calvados", "pampas", "bellows", "jodhpurs", "breeches", "graphics",
    "aurochs", "sauternes", "clothes", "pothos", "pharos", "camas", "madras", "ananas", "acrobatics", "velours",
    "streptomyces", "benthos", "thrips", "means", "cos", "sos", "pegasus", "hercules", "achilles",
    "electronics", "aerobics", "politics", "economics", "genetics", "robotics", "ethics", "optics",
    "los", "las", "dos", "wales", "athens", "brussels", "naples", "netherlands", "philippines", "charles", "james",
})  # fmt: skip


def words(text: str) -> list[str]:
    """Words of a text in lower case; hyphens, underscores and punctuation part them, a possessive is dropped.

    Combining marks (vowel signs of Indic scripts, points of Hebrew and Arabic) belong to their word. Scripts that write
    no blanks between words (Chinese, Japanese, Thai, ...) are not segmented: a run of such letters is one word.
    """
    if text.isascii():
        matches = _PLAIN.findall(text.lower())
    else:
        matches = _WORD.findall(unicodedata.normalize("NFC", text).lower())
    return [word for raw in matches if (word := _POSSESSIVE.sub("", raw))]


def singular(word: str) -> str:
    """The singular of an English noun by a few rules; a word that is none stays, unless it looks like a plural.

    Rules see endings, not sentences: "plays" becomes "play", "playing" stays. Captions and concepts go through the
    same rules, so that a wrong lemma is wrong on both sides and counts as well as a right one.
    """
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or not word.endswith("s") or word in _SINGULAR:
        return word
    if word[:-1] in _VOWELS or word.endswith("eaus"):
        return word[:-1]
    if word.endswith(("ss", "us", "is")):
        return word
    if word.endswith(("ies", "oes", "ches", "sses", "xes")) and word[:-1] in _FINAL_E:
        return word[:-1]
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 else word[:-1]
    if word.endswith(("ches", "shes", "xes", "sses", "zzes", "tzes", "oes")) or word[:-2] in _ENDS_IN_S:
        return word[:-2]
    if word.endswith("uses") and not word.endswith(("ouses", "auses")) and word[:-1] not in _USE:
        return word[:-2]
    return word[:-1]


_USE = frozenset({"use", "fuse", "ruse", "muse", "excuse", "recluse", "abuse", "refuse", "cruse", "cayuse",
                  "hypotenuse",
                  "accuse", "amuse", "confuse", "misuse", "obtuse", "profuse", "diffuse", "masseuse", "chartreuse",
                  "berceuse", "danseuse", "chanteuse", "druse", "accoucheuse"})  # fmt: skip


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

    descriptions = ImageNetInfo("imagenet21k").label_descriptions()
    names = [name for text in descriptions for name in text.split(",")]
    return frozenset(singular(parts[-1]) for name in names if (parts := words(name)) and len(parts[-1]) > 2)


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
