"""What a request to `/predict` may carry: its schema, and how it is read without a file and without trust."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Annotated, Any

import pydantic
from pydantic import Field
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from unseen.serving.limits import FILES, MAX_TEXT, SENT, Limits
from unseen.serving.mistakes import FIELD, sentence
from unseen.serving.turns import Busy

JSON = "application/json"
FORM = "multipart/form-data"


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
    """

    def __init__(self, kind: str, width: int, limits: Limits, features: Sequence[str] = ()) -> None:
        self.limits = limits
        self.held = 0
        self.model = _json_model(kind, width, limits, features)
        self._read: dict[str, Callable[[AsyncGenerator[bytes, None], str], Any]] = {JSON: self._json}
        if kind in SENT:
            self._read[FORM] = self._form

    def schema(self) -> dict[str, Any]:
        """The `requestBody` of OpenAPI."""
        content: dict[str, Any] = {JSON: {"schema": self.model.model_json_schema()}}
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
        body = b"".join([chunk async for chunk in stream])
        try:
            return getattr(self.model.model_validate_json(body), FIELD)
        except pydantic.ValidationError as error:
            raise HTTPException(422, sentence(error.errors(include_url=False, include_input=False)[0])) from error

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


def _json_model(kind: str, width: int, limits: Limits, features: Sequence[str] = ()) -> type[pydantic.BaseModel]:
    """The JSON body, with everything that a schema can say about its samples."""
    item: Any = {
        **dict.fromkeys(FILES, Annotated[str, Field(min_length=1, json_schema_extra={"contentEncoding": "base64"})]),
        "text": Annotated[str, Field(max_length=MAX_TEXT)],
        "series": Annotated[str, Field(min_length=1, json_schema_extra={"contentMediaType": "text/csv"})],
        "features": Annotated[
            list[Annotated[float, Field(ge=-3e38, le=3e38, allow_inf_nan=False)]],
            Field(min_length=width, max_length=width),
        ],
    }[kind]
    description = {
        "image": "Pictures as files in base64.",
        "clip": "Videos as files in base64.",
        "audio": "Sounds as files in base64.",
        "text": "Texts.",
        "series": "Tables of series as CSV, a row for each time.",
        "features": f"Vectors of {width} numbers" + (f", in this order: {', '.join(features)}." if features else "."),
    }[kind]
    samples: Any = (Annotated[list[item], Field(min_length=1, max_length=limits.batch, description=description)], ...)
    fields: dict[str, Any] = {FIELD: samples}
    config = pydantic.ConfigDict(extra="forbid", strict=True)
    return pydantic.create_model("Samples", __config__=config, **fields)
