"""Hourly forecasts by geometric Brownian motion, and a look at whether past ones were right."""
