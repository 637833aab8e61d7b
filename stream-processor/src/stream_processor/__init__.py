"""Trades from Kafka into Cassandra: raw rows, five-second bars, running averages."""
