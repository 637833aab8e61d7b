"""The collector's peer: receives, decodes, encodes and sends, and keeps no journal.

`python -m benchmarks.bare_loop URL FRAMES`; Kafka's address and login come from the settings.
"""

import io
import sys

import fastavro
import orjson
import websocket
from confluent_kafka import Producer

from collector.settings import CollectorSettings
from common.kafka import client_config
from common.schemas import trades_schema


def main() -> None:
    """Send every frame."""
    url, frames = sys.argv[1], int(sys.argv[2])
    settings = CollectorSettings.load()
    login = client_config(settings, settings.kafka_username, settings.kafka_collector_password)
    producer = Producer({**login, "enable.idempotence": True, "compression.type": "lz4", "linger.ms": 5})
    schema = trades_schema().parsed
    connection = websocket.create_connection(url, skip_utf8_validation=True)
    for _ in range(frames):
        frame = orjson.loads(connection.recv())
        by_symbol: dict[str, list[object]] = {}
        for trade in frame["data"]:
            by_symbol.setdefault(trade["s"], []).append(trade)
        for symbol, trades in by_symbol.items():
            value = io.BytesIO()
            fastavro.schemaless_writer(value, schema, {"data": trades, "type": frame["type"]})
            while True:
                try:
                    producer.produce("market", value.getvalue(), symbol)
                    break
                except BufferError:
                    producer.poll(0.1)
        producer.poll(0)
    producer.flush()


if __name__ == "__main__":
    main()
