"""Words that name nothing: articles, prepositions and the like, which no group of pictures is called by."""

from __future__ import annotations

from functools import cache

_OTHERS = """
der die das den dem des ein eine einen einem einer eines und oder aber nicht mit ohne von vom zum zur für auf aus bei
im in am an ist sind war waren wird werden hat haben auch nach über unter wie sie wir ihr ich es als so noch nur sich
le la les un une des du de et ou mais ne pas avec sans pour par sur dans en au aux est sont était ce cet cette ces qui
que il elle nous vous je son sa ses plus
el los las una unos unas del al y o pero no con sin por para sobre es son era este esta estos estas que se su sus lo más
il lo gli uno dei delle della dello nel nella e ma non per tra fra da di sono questo questa che si suo sua più
os as um uma uns umas do da dos das no na nos nas ao à com sem por sobre são foi este esta isto seu sua mais não
het een de en of maar niet met zonder van voor op uit bij is zijn was waren wordt dit dat deze die hij zij wij ook naar
http https www com org net html jpg jpeg png gif webp img src href alt
"""


@cache
def stop_words() -> frozenset[str]:
    """Function words of English (scikit-learn's list), German, French, Spanish, Italian, Portuguese and Dutch."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS) | frozenset(_OTHERS.split())
