"""Receives trades over a websocket, keeps every frame in a journal, and publishes them to Kafka."""
