"""What a request to `/predict` may carry: its schema, and how it is read without a file and without trust."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Annotated, Any

import pydantic
from pydantic import BeforeValidator, Field, WithJsonSchema
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from unseen.serving.limits import FILES, MAX_TEXT, MOST_NUMBER, SENT, Limits
from unseen.serving.mistakes import FIELD, sentence
from unseen.serving.turns import Busy

JSON = "application/json"
FORM = "multipart/form-data"
MARK = b"\xef\xbb\xbf"
"""With which some programs begin a text in UTF-8."""


class Bodies:
    """Reads the bodies of one model.

    Parameters
    ----------
    kind : {"image", "clip", "audio", "text", "features", "series"}
        What the samples are.
    width : int
        Numbers of a feature vector.
    limits : Limits
        Bytes, samples and time of a body.
    features : sequence of str
        What the numbers of a feature vector are called; none where they have no names.
    hidden : bool
        Whether the schema keeps these names to itself: anyone may read it.
    """

    def __init__(
        self, kind: str, width: int, limits: Limits, features: Sequence[str] = (), *, hidden: bool = False
    ) -> None:
        self.limits = limits
        self.kind = kind
        self.held = 0
        self.model = _json_model(kind, width, limits, features)
        self.shown = _json_model(kind, width, limits) if hidden else self.model
        self._read: dict[str, Callable[[AsyncGenerator[bytes, None], str], Any]] = {JSON: self._json}
        if kind in SENT:
            self._read[FORM] = self._form

    def schema(self) -> dict[str, Any]:
        """The `requestBody` of OpenAPI."""
        content: dict[str, Any] = {JSON: {"schema": self.shown.model_json_schema()}}
        if FORM in self._read:
            files = {
                "type": "array",
                "items": {"type": "string", "format": "binary"},
                "minItems": 1,
                "maxItems": self.limits.batch,
                "description": "Files, each a sample.",
            }
            form = {"type": "object", "properties": {FIELD: files}, "required": [FIELD], "additionalProperties": False}
            content[FORM] = {"schema": form}
        return {"required": True, "content": content}

    @contextlib.asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[list[Any]]:
        """The samples of a request, not yet prepared; inside the block its bytes count as held.

        Raises
        ------
        HTTPException
            408 if the body comes too slowly, 413 if it is too long, 415 if it is of another type, 422 if it does not
            hold samples.
        Busy
            If all bodies together would be longer than `Limits.held`.
        """
        content_type = request.headers.get("content-type", "")
        kind = content_type.partition(";")[0].strip().lower()
        if kind not in self._read:
            raise HTTPException(415, f"the body must be {' or '.join(self._read)}")
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > self.limits.bytes:
            raise self._too_long()
        mine = [0]
        try:
            try:
                async with asyncio.timeout(self.limits.seconds):
                    samples = await self._read[kind](self._stream(request, mine), content_type)
            except TimeoutError as error:
                raise HTTPException(408, f"the body did not arrive within {self.limits.seconds:g} s") from error
            except ClientDisconnect as error:  # nobody reads it; as an error of the server it would fill the log
                raise HTTPException(400, "the connection ended before the body was there") from error
            yield samples
        finally:
            self.held -= mine[0]

    async def _stream(self, request: Request, mine: list[int]) -> AsyncGenerator[bytes, None]:
        """The bytes of a body, which are added to those of all bodies and to `mine`."""
        async for chunk in request.stream():
            self.held += len(chunk)
            mine[0] += len(chunk)
            if mine[0] > self.limits.bytes:
                raise self._too_long()
            if self.held > self.limits.held:
                raise Busy(f"the bodies under way have more than {self.limits.held:,} bytes")
            yield chunk

    def _too_long(self) -> HTTPException:
        return HTTPException(413, f"the body may have at most {self.limits.bytes:,} bytes")

    async def _json(self, stream: AsyncGenerator[bytes, None], _: str) -> list[Any]:
        body = b"".join([chunk async for chunk in stream]).removeprefix(MARK)
        if body.count(f'"{FIELD}"'.encode()) > 1 or (self.kind == "features" and body.count(b"{") > 1):
            _check_keys(body)
        try:
            return getattr(self.model.model_validate_json(body), FIELD)
        except pydantic.ValidationError as error:
            mistake = error.errors(include_url=False)[0]
            raise HTTPException(422, sentence(mistake, self.kind)) from error

    async def _form(self, stream: AsyncGenerator[bytes, None], content_type: str) -> list[Any]:
        limit = self.limits.batch
        bad = HTTPException(422, f"the form must hold 1 to {limit} files, all in the field {FIELD!r}")
        parser = MultiPartParser(Headers({"content-type": content_type}), stream, max_files=limit, max_fields=0)
        parser.spool_max_size = self.limits.bytes + 1  # no upload reaches the disk
        try:
            form = await parser.parse()
        except (MultiPartException, ValueError, KeyError) as error:  # as the parser below calls it in some versions
            raise bad from error
        files = [file for name, file in form.multi_items() if name == FIELD and isinstance(file, UploadFile)]
        if not files or len(files) != len(form.multi_items()):
            raise bad
        return [file.file.read() for file in files]


def _check_keys(body: bytes) -> None:
    """422 if an object of a JSON body has one key twice: of two values only one would count."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise HTTPException(422, f"{twice[:40]} stands twice in one object")
        return {}

    with contextlib.suppress(ValueError, RecursionError):  # what is no JSON is told by who reads it
        json.loads(body, object_pairs_hook=once)


def _by_name(features: Sequence[str]) -> BeforeValidator:
    """Takes an object with a number for each feature for the vector of these numbers in their order."""
    wanted = set(features)

    def ordered(sample: Any) -> Any:
        if not isinstance(sample, dict):
            return sample
        if not features:
            raise ValueError("must be a list of numbers: the columns of the table of this model had no names")
        lacking, other = [name for name in features if name not in sample], [n for n in sample if n not in wanted]
        if lacking or other:
            parts = [f"lacks {_few(lacking)}"] if lacking else []
            parts += [f"has {_few(other)}, which the model does not read"] if other else []
            raise ValueError(f"{' and '.join(parts)}; its columns are those of /model")
        for name in features:
            if isinstance(sample[name], bool) or not isinstance(sample[name], int | float):
                raise ValueError(f"must have a number as {name[:40]}")
        return [sample[name] for name in features]

    return BeforeValidator(ordered)


def _few(names: Sequence[str], most: int = 3) -> str:
    listed = ", ".join(name[:40] for name in names[:most])
    return f"{listed} and {len(names) - most} more" if len(names) > most else listed


NUMBER = {"type": "number", "minimum": -MOST_NUMBER, "maximum": MOST_NUMBER}


def _vector_schema(width: int, features: Sequence[str]) -> WithJsonSchema:
    """A list of numbers or, where columns have names, an object with a number for each."""
    vector: dict[str, Any] = {"type": "array", "items": NUMBER, "minItems": width, "maxItems": width}
    if not features:
        return WithJsonSchema(vector)
    record = {
        "type": "object",
        "properties": dict.fromkeys(features, NUMBER),
        "required": list(features),
        "additionalProperties": False,
    }
    return WithJsonSchema({"anyOf": [vector, record]})


def _json_model(kind: str, width: int, limits: Limits, features: Sequence[str] = ()) -> type[pydantic.BaseModel]:
    """The JSON body, with everything that a schema can say about its samples."""
    item: Any = {
        **dict.fromkeys(FILES, Annotated[str, Field(min_length=1, json_schema_extra={"contentEncoding": "base64"})]),
        "text": Annotated[str, Field(max_length=MAX_TEXT)],
        "series": Annotated[str, Field(min_length=1, json_schema_extra={"contentMediaType": "text/csv"})],
        "features": Annotated[
            list[Annotated[float, Field(ge=-MOST_NUMBER, le=MOST_NUMBER, allow_inf_nan=False)]],
            Field(min_length=width, max_length=width),
            _by_name(features),
            _vector_schema(width, features),
        ],
    }[kind]
    order = f", in this order: {', '.join(features)}; or objects with a number for each of these" if features else ""
    description = {
        "image": "Pictures as files in base64.",
        "clip": "Videos as files in base64.",
        "audio": "Sounds as files in base64.",
        "text": "Texts.",
        "series": "Tables of series as CSV, a row for each time.",
        "features": f"Vectors of {width} numbers{order}.",
    }[kind]
    samples: Any = (Annotated[list[item], Field(min_length=1, max_length=limits.batch, description=description)], ...)
    fields: dict[str, Any] = {FIELD: samples}
    config = pydantic.ConfigDict(extra="forbid", strict=True)
    return pydantic.create_model("Samples", __config__=config, **fields)
