"""Damage inside the files of clips: loading looks at their ends, and decoding alone tells what is between."""

from __future__ import annotations

from unseen.data.domain import Domain, Lazy
from unseen.data.loaders.common import OnError, inspect, settle
from unseen.files import sentence


def undamaged(domain: Domain, on_error: OnError = "skip", *, threads: int = 8) -> Domain:
    """Clips of files without those that cannot be decoded, which are `skipped`, too; other samples as they are.

    What is decoded is kept for when it is read, as far as there is room (`unseen.data.kept_frames`). It is asked for
    when all that can be refused without decoding has been.

    Parameters
    ----------
    domain : Domain
        Of any kind; it is given back itself where nothing is damaged.
    on_error : {"skip", "fail"}
        As in `unseen.data.loaders.load`.
    threads : int, >= 1
        How many clips are looked at together; windows of one video are decoded in their order by 1.

    Raises
    ------
    ValueError
        If none can be decoded, or with "fail" one cannot.
    """
    x, ids = domain.x, domain.ids
    if domain.kind != "clip" or not isinstance(x, Lazy):
        return domain
    assert ids is not None

    def look(i: int) -> None:
        try:
            x[i]
        except ValueError as error:  # which file it is, the id tells
            raise ValueError(sentence(error.__cause__ or error)) from error

    damaged = inspect(range(len(x)), look, lambda i: str(ids[i]), threads=threads)
    if not damaged:
        return domain
    lost = {entry.where for entry in damaged}
    if len(damaged) == len(x):
        among = f"{domain.name}: none of {len(x)} can be decoded, the first " if len(x) > 1 else ""
        raise ValueError(f"{among}{damaged[0].where}: {damaged[0].why}")
    settle(damaged, on_error, domain.name)
    kept = [i for i, name in enumerate(ids.tolist()) if name not in lost]
    return domain.take(kept).replace(skipped=(*domain.skipped, *damaged))
