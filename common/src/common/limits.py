"""Limits that several components keep."""

# Finnhub's frames are below 100 kB; Kafka's messages may be as large as this.
MAX_FRAME_BYTES = 8 * 1024**2
# Of what is refused so much is kept; the journal holds the whole frame.
MAX_DEAD_LETTER_BYTES = 1024**2
