"""Topics as streams, and streams as topics: see :mod:`tidegate.streaming.kafka`."""

from tidegate.streaming.kafka import KafkaRecord, KafkaUtils, utf8_decoder

__all__ = ["KafkaRecord", "KafkaUtils", "utf8_decoder"]
