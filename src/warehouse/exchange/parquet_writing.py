"""Tables as Parquet. Needs pyarrow, which is an extra."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.exchange.columns import Column, Content, values_by_column
from warehouse.exchange.outbox import Outbox

ROW_GROUP = 65_536
"""Rows, about."""

TYPES: Mapping[Content, Any] = {
    Content.IDENTIFIER: pa.string(),
    Content.TEXT: pa.string(),
    Content.CHOICE: pa.dictionary(pa.int8(), pa.string()),
    Content.WHOLE: pa.int64(),
    Content.DAY: pa.date32(),
    Content.MOMENT: pa.timestamp("us", "UTC"),
    Content.TEXTS: pa.list_(pa.string()),
    Content.OBJECT: pa.string(),
}


class ParquetWriter:
    def __init__(self, columns: Sequence[Column], row_group: int = ROW_GROUP) -> None:
        self._columns = columns
        self._schema = pa.schema([(column.name, TYPES[column.content]) for column in columns])
        self._row_group = row_group
        self._outbox = Outbox()
        self._writer = pq.ParquetWriter(self._outbox, self._schema, compression="zstd")
        self._waiting: list[Any] = []

    def begin(self) -> bytes:
        return self._outbox.take()

    def write(self, rows: Sequence[str]) -> bytes:
        arrays = [
            _array(column.content, values)
            for column, values in zip(self._columns, values_by_column(self._columns, rows), strict=True)
        ]
        self._waiting.append(pa.record_batch(arrays, schema=self._schema))
        if sum(batch.num_rows for batch in self._waiting) >= self._row_group:
            self._write_group()
        return self._outbox.take()

    def end(self) -> bytes:
        if self._waiting:
            self._write_group()
        self._writer.close()
        return self._outbox.take()

    def _write_group(self) -> None:
        table = pa.Table.from_batches(self._waiting).unify_dictionaries()
        self._waiting = []
        self._writer.write_table(table, row_group_size=table.num_rows)


_WRITTEN_OUT = (Content.DAY, Content.MOMENT)


def _array(content: Content, values: list[Any]) -> Any:
    if content in _WRITTEN_OUT:
        return pa.array(values, pa.string()).cast(TYPES[content])
    if content is Content.OBJECT:
        values = [None if value is None else orjson.dumps(value).decode() for value in values]
    return pa.array(values, TYPES[content])
