"""Families of shifts between pictures, which an encoder makes features of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shifts.case import Case, classed, common_classes, opened, partial, side, small, thinned, unbalanced
from shifts.changes import change
from shifts.sources import clip_art, coded, crops, icons, photographs, renders, things
from unseen.data.domain import Domain
from unseen.data.sources import emoji, in_common

PICTURES = ("pictures",)


def both_ways(family: str, first: Domain, second: Domain, tags: Sequence[str] = PICTURES) -> Iterator[Case]:
    """The two ordered pairs of two domains."""
    yield Case(family, first, second, tuple(tags))
    yield Case(family, second, first, tuple(tags))


def emoji_styles() -> Iterator[Case]:
    """The same emoji in five styles, in 29 subgroups."""
    styles = ("noto", "twemoji", "openmoji", "fluent-emoji-flat", "fluent-emoji-high-contrast")
    drawn = {d.name: thinned(coded(d), 12) for d in in_common(*map(emoji, styles))}
    tags = ("pictures", "counterparts")
    pairs = (
        ("noto", "openmoji"),
        ("openmoji", "noto"),
        ("twemoji", "fluent-emoji-high-contrast"),
        ("fluent-emoji-high-contrast", "fluent-emoji-flat"),
        ("openmoji", "twemoji"),
        ("fluent-emoji-flat", "openmoji"),
    )
    for source, target in pairs:
        yield Case("emoji-styles", drawn[source], drawn[target], tags)
    yield small(Case("emoji-styles", drawn["noto"], drawn["openmoji"], tags), target=3)
    yield partial(Case("emoji-styles", drawn["openmoji"], drawn["twemoji"], tags))


def emoji_disjoint() -> Iterator[Case]:
    """Emoji in two styles, of which no emoji is on both sides, in their subgroups."""
    pairs = (("fluent-emoji", "openmoji"), ("twemoji", "emojione-monotone"), ("noto", "noto-v1"))
    for one, other in pairs:
        halves = [side(coded(emoji(style)), half) for half, style in enumerate((one, other))]
        first, second = (thinned(domain, 10) for domain in common_classes(halves, 5))
        yield from both_ways("emoji-disjoint", first, second)
        if one == "fluent-emoji":
            yield opened(Case("emoji-disjoint", second, first, PICTURES))
        if one == "twemoji":
            yield small(Case("emoji-disjoint", first, second, PICTURES), source=4)


def emoji_groups() -> Iterator[Case]:
    """Emoji in two styles, of which no emoji is on both sides, in eight groups of many subgroups each."""
    pairs = (("noto", "openmoji"), ("twemoji", "fluent-emoji-high-contrast"), ("fluent-emoji-flat", "fxemoji"))
    for one, other in pairs:
        halves = []
        for half, style in enumerate((one, other)):
            halves.append(by_column(side(coded(emoji(style, level="emoji")), half), "group"))
        first, second = (thinned(domain, 36) for domain in common_classes(halves, 5))
        if other == "fxemoji":
            yield Case("emoji-groups", first, second, PICTURES)
        else:
            yield from both_ways("emoji-groups", first, second)
        if other == "openmoji":
            yield unbalanced(Case("emoji-groups", first, second, PICTURES))


def by_column(domain: Domain, column: str) -> Domain:
    """The domain whose classes are the values of a column."""
    values = domain.columns[column].tolist()
    return classed(domain, values, tuple(sorted(set(values))))


def photo_to_drawing() -> Iterator[Case]:
    """Photographs, clip art and emoji of nine kinds of things."""
    photos, clips, drawn = photographs(), thinned(clip_art(), 36), thinned(things("noto"), 36)
    family = "photo-to-drawing"
    yield from both_ways(family, photos, clips)
    yield from both_ways(family, clips, drawn)
    yield from both_ways(family, photos, drawn)
    yield partial(Case(family, clips, photos, PICTURES))
    yield opened(Case(family, photos, drawn, PICTURES))


def furniture_makers() -> Iterator[Case]:
    """Pictures of models by different makers, and renders of the models, by shape and by category."""
    family, blend = "furniture", ("blendswap-cc-0", "blendswap-cc-by")
    rooms = [thinned(icons(makers, "category"), 28) for makers in (("scopia",), blend)]
    by_category = common_classes([_without(domain, "Miscellaneous") for domain in rooms], 5)
    first, second = (_named(domain, "by category") for domain in by_category)
    yield from both_ways(family, first, second)
    first, second = common_classes([thinned(icons(makers, "shape"), 28) for makers in (("scopia",), blend)], 5)
    yield from both_ways(family, first, second)
    shown, drawn = common_classes([first, thinned(renders(blend, "shape"), 28)], 5)
    yield from both_ways(family, shown, drawn)
    shown, few = common_classes([first, icons(("kator-legaz",), "shape")], 4)
    for case in both_ways(family, shown, few):
        yield _tagged(case, "small")


def _without(domain: Domain, name: str) -> Domain:
    assert domain.classes is not None
    labels = [domain.classes.names[label] for label in domain.labels]
    return classed(domain, labels, tuple(other for other in domain.classes.names if other != name))


def _named(domain: Domain, more: str) -> Domain:
    return domain.replace(name=f"{domain.name} {more}")


def _tagged(case: Case, tag: str) -> Case:
    return Case(case.family, case.source, case.target, (*case.tags, tag), case.variant)


def corruptions() -> Iterator[Case]:
    """Clean pictures against noise, blur, lack of contrast, JPEG and snow on other ones."""
    family, (left, right) = "corruptions", (crops(0), crops(1))
    for name in ("noise", "blur", "contrast", "jpeg"):
        yield Case(family, left, change(right, name), PICTURES)
    yield Case(family, change(right, "noise"), left, PICTURES)
    clips = [thinned(side(clip_art(), half), 16) for half in range(2)]
    yield Case(family, clips[0], change(clips[1], "snow"), PICTURES)
    yield unbalanced(Case(family, change(clips[1], "contrast"), clips[0], PICTURES), ratio=4)
    photos = [side(photographs(), half) for half in range(2)]
    yield Case(family, photos[0], change(photos[1], "blur"), PICTURES)


def edges_and_pencil() -> Iterator[Case]:
    """Photographs and clip art against edges and pencil drawings of other ones."""
    family, photos = "edges-and-pencil", [side(photographs(), half) for half in range(2)]
    for name in ("edges", "pencil"):
        yield Case(family, photos[0], change(photos[1], name), PICTURES)
    yield Case(family, change(photos[1], "pencil"), photos[0], PICTURES)
    clips = [thinned(side(clip_art(), half), 16) for half in range(2)]
    yield Case(family, clips[0], change(clips[1], "edges"), PICTURES)
    yield Case(family, change(clips[1], "edges"), clips[0], PICTURES)
    yield Case(family, crops(0), change(crops(1), "pencil"), PICTURES)
    yield opened(Case(family, clips[0], change(clips[1], "pencil"), PICTURES))
