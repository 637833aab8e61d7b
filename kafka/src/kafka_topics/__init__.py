"""Kafka's users, their rights, and the topics."""
