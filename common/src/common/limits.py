"""Limits that several components keep."""

# Finnhub's frames are below 100 kB; Kafka's messages may be as large as this.
MAX_FRAME_BYTES = 8 * 1024**2
