"""`ExplorerClient`: the explorer of another process or machine, from Python."""

from __future__ import annotations

import base64
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unseen.curation.export import format_of
from unseen.runtime import replacing


class ExplorerClient:
    """Search a collection that `unseen explore` serves.

    Parameters
    ----------
    url : str
        What it said that it listens on.
    token : str, optional
        What it was started with.
    timeout : float, > 0
        Seconds that an answer may take.

    Examples
    --------
    >>> client = ExplorerClient("http://127.0.0.1:8500")  # doctest: +SKIP
    >>> client.search(texts={"a red car": 1, "snow": 0.5}, k=20)["hits"][0]["columns"]["text"]  # doctest: +SKIP
    """

    def __init__(self, url: str, *, token: str | None = None, timeout: float = 60.0) -> None:
        try:
            import httpx
        except ImportError as error:
            raise ImportError(f"a client needs: pip install 'unseen[curate]' ({error})") from error
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, follow_redirects=False)

    def __enter__(self) -> ExplorerClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def indices(self) -> dict[str, Any]:
        """What can be searched: indices with their recall, columns, toggles."""
        return self._json("GET", "/api/indices")

    def search(
        self,
        *,
        texts: str | Mapping[str, float] = (),  # type: ignore[assignment]
        images: Sequence[bytes | str | os.PathLike[str]] | Mapping[str, float] = (),
        embeddings: Sequence[Sequence[float]] = (),
        rows: Sequence[int] = (),
        index: str = "image",
        k: int = 40,
        values: Mapping[str, Sequence[str]] | None = None,
        ranges: Mapping[str, tuple[float | None, float | None]] | None = None,
        tags: Sequence[str] = (),
        **more: Any,
    ) -> dict[str, Any]:
        """The results of a query: `hits`, the nearest first, what was `removed`, how many rows were `allowed`.

        Parameters
        ----------
        texts : str, or mapping of texts to weights
        images : files or their bytes, or mapping of files to weights
        embeddings : sequence of vectors (d,)
        rows : sequence of int
        index : {"image", "text"}
        k : int in [1, 1000]
        values, ranges, tags
            Filters, as `unseen.curation.results.Filters` has them.
        **more
            `deduplicate`, `near`, `safe`, `nonviolent`, `aesthetic` (a dictionary of `score` and `weight`), `change` (a
            text: what counts, or is different, of what the terms show).

        Raises
        ------
        ValueError
            With the server's sentence, if it refuses.
        """
        message = self.message(
            texts=texts, images=images, embeddings=embeddings, rows=rows, index=index, k=k, values=values,
            ranges=ranges, tags=tags, **more,
        )  # fmt: skip
        return self._json("POST", "/api/knn", json=message)

    @staticmethod
    def message(
        *,
        texts: Any = (),
        images: Any = (),
        embeddings: Any = (),
        rows: Any = (),
        values: Any = None,
        ranges: Any = None,
        tags: Any = (),
        **more: Any,
    ) -> dict[str, Any]:
        """A query as JSON values, as `search` sends it."""
        words = {texts: 1.0} if isinstance(texts, str) else dict(texts)
        files = list(images.items()) if isinstance(images, Mapping) else [(image, 1.0) for image in images]
        return {
            "texts": [{"text": text, "weight": weight} for text, weight in words.items()],
            "images": [{"base64": _base64(file), "weight": weight} for file, weight in files],
            "embeddings": [{"vector": [float(value) for value in vector]} for vector in embeddings],
            "rows": [{"row": int(row)} for row in rows],
            "filters": _filters(values, ranges, tags),
            **more,
        }

    def metadata(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """What the collection says of rows."""
        return [row["columns"] for row in self._json("POST", "/api/metadata", json={"rows": list(rows)})["rows"]]

    def picture(self, row: int, side: int | None = None) -> bytes:
        """The file of a picture, or a JPEG of at most `side` pixels."""
        return self._answer("GET", f"/api/picture/{int(row)}", params={} if side is None else {"side": side}).content

    def browse(
        self,
        *,
        values: Mapping[str, Any] | None = None,
        ranges: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        first: int = 0,
        most: int = 60,
        sort: str | None = None,
        descending: bool = True,
    ) -> dict[str, Any]:
        """Rows that pass filters, `first` skipped and at most `most`, and how many are `allowed` in all."""
        message = {"filters": _filters(values, ranges, tags), "first": first, "most": most}
        return self._json("POST", "/api/browse", json={**message, "sort": sort, "descending": descending})

    def facets(
        self,
        *,
        values: Mapping[str, Any] | None = None,
        ranges: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Counts of values, ranges and tags among the rows that pass filters."""
        return self._json("POST", "/api/facets", json=_filters(values, ranges, tags))

    def map(self) -> list[dict[str, Any]]:
        """Groups of pairs on a plane with their words."""
        return self._json("GET", "/api/map")["concepts"]

    def tags(self) -> dict[str, int]:
        """The tags, and how many pairs have each."""
        return dict(self._json("GET", "/api/tags")["tags"])

    def tag(self, name: str, rows: Sequence[int], *, on: bool = True) -> int:
        """Put a tag on rows, or take it off; how many were changed. It is saved beside the collection."""
        return self._json("POST", "/api/tags", json={"tag": name, "rows": list(rows), "on": on})["changed"]

    def export(
        self,
        file: str | os.PathLike[str],
        *,
        rows: Sequence[int] = (),
        query: Mapping[str, Any] | None = None,
        above: float | None = None,
        tags: Sequence[str] = (),
    ) -> Path:
        """Write rows, what a query finds, or what has a tag; the ending says the format (.parquet, .csv, .npy, .tar).

        Parameters
        ----------
        file : path
        rows : sequence of int
        query : mapping, optional
            What `message` gives, instead of rows.
        above : float in [-1, 1], optional
            All that the query finds from this similarity on, instead of its k results.
        tags : sequence of str
            All rows with one of these tags, instead of rows or a query.
        """
        message = {"format": format_of(file), "rows": list(rows), "query": query, "above": above}
        if tags:
            message["filters"] = _filters(None, None, tags)
        request = self._http.stream("POST", "/api/export", json=message)
        with replacing(file) as temporary, temporary.open("wb") as stream, request as answer:
            if answer.is_error:
                answer.read()
                self._refuse(answer)
            for chunk in answer.iter_bytes():
                stream.write(chunk)
            if answer.headers.get("x-truncated") == "true":
                written, n_found = answer.headers["x-rows"], answer.headers["x-found"]
                warnings.warn(f"{file} holds the first {written} of {n_found} rows: more are not written", stacklevel=2)
        return Path(file)

    def _json(self, verb: str, path: str, **more: Any) -> Any:
        return self._answer(verb, path, **more).json()

    def _answer(self, verb: str, path: str, **more: Any) -> Any:
        answer = self._http.request(verb, path, **more)
        if answer.is_error:
            self._refuse(answer)
        return answer

    @staticmethod
    def _refuse(answer: Any) -> None:
        try:
            detail = answer.json()["detail"]
        except (ValueError, KeyError, TypeError):
            detail = answer.text.strip()[:200]
        raise ValueError(f"the explorer refuses ({answer.status_code}): {detail}")


def _filters(values: Any, ranges: Any, tags: Any) -> dict[str, Any]:
    return {"values": dict(values or {}), "ranges": dict(ranges or {}), "tags": list(tags)}


def _base64(file: bytes | str | os.PathLike[str]) -> str:
    return base64.b64encode(file if isinstance(file, bytes) else Path(file).read_bytes()).decode()
