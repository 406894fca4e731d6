"""Topics as streams, and streams as topics, by the names of Spark's ``KafkaUtils``.

Offsets are committed with state and outputs, in the consumer group of the application: no ``offsetRanges`` have to be kept.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple, TYPE_CHECKING

from tidegate._missing import missing

if TYPE_CHECKING:
    from tidegate.pyspark.streaming.context import StreamingContext
    from tidegate.pyspark.streaming.dstream import DStream

__all__ = ["KafkaRecord", "KafkaUtils", "utf8_decoder"]


class KafkaRecord(NamedTuple):
    """A record of a topic: what ``kafkaStream(.., part="record")`` gives, and what ``toKafka`` writes with timestamp and headers."""

    key: Any = None
    value: Any = None
    #: Milliseconds since the epoch; -1 = that of the batch.
    timestamp_ms: int = -1
    #: Pairs of name and bytes, in order.
    headers: List[Tuple[str, Optional[bytes]]] = []
    #: Where it was read; of no effect where it is written.
    topic: str = ""
    partition: int = 0
    offset: int = 0


def utf8_decoder(s: Optional[bytes]) -> Optional[str]:
    """Bytes as text; None stays None."""
    return None if s is None else s.decode("utf-8")


class KafkaUtils:
    """Inputs from Kafka."""

    @staticmethod
    def createDirectStream(
        ssc: "StreamingContext",
        topics: Iterable[str],
        kafkaParams: Optional[Dict[str, str]] = None,
        fromOffsets: Any = None,
        keyDecoder: Callable[[Optional[bytes]], Any] = utf8_decoder,
        valueDecoder: Callable[[Optional[bytes]], Any] = utf8_decoder,
        messageHandler: Optional[Callable[[KafkaRecord], Any]] = None,
    ) -> "DStream[Any]":
        """Pairs of key and value of the records of topics, or what ``messageHandler`` makes of each record. The broker is that of the program
        (``tidegate.bootstrap``); of ``kafkaParams``, ``auto.offset.reset`` says where the first start begins."""
        params = dict(kafkaParams or {})
        starting = params.pop("auto.offset.reset", None)
        starting = {"smallest": "earliest", "largest": "latest"}.get(starting or "", starting)
        for broker in ("metadata.broker.list", "bootstrap.servers", "group.id"):
            params.pop(broker, None)
        if params:
            missing(
                f"KafkaUtils.createDirectStream(kafkaParams) with {', '.join(sorted(params))}",
                "set properties of the client for the program: `tidegate.kafka.<property>`",
            )
        if fromOffsets is not None:
            missing("KafkaUtils.createDirectStream(fromOffsets)", "use `ssc.kafkaStream(.., startingOffsets=time_ms)`")
        if messageHandler is not None:
            records = ssc.kafkaStream(topics, key="bytes", value="bytes", part="record", startingOffsets=starting)
            return records.map(
                lambda record: messageHandler(
                    record._replace(key=keyDecoder(record.key), value=valueDecoder(record.value))
                )
            )
        key, value = (
            "text" if decoder is utf8_decoder else "bytes" for decoder in (keyDecoder, valueDecoder)
        )
        pairs = ssc.kafkaStream(topics, key=key, value=value, part="pair", startingOffsets=starting)
        if key == "text" and value == "text":
            return pairs
        of_key = keyDecoder if key == "bytes" else _same
        of_value = valueDecoder if value == "bytes" else _same
        return pairs.map(lambda pair: (of_key(pair[0]), of_value(pair[1])))

    @staticmethod
    def createStream(*_: Any, **__: Any) -> "DStream[Any]":
        """Not supported."""
        missing("KafkaUtils.createStream", "use `KafkaUtils.createDirectStream(ssc, topics)`")


def _same(value: Any) -> Any:
    return value
