"""Builds the candles of every symbol from the journal, publishes closed candles as events, and archives them."""
