"""A feed that speaks Finnhub's protocol: simulated trades, and recordings that are played again."""
