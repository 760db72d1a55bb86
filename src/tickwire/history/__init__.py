"""Candles of everything the journal says: forming ones in memory, closed ones kept."""
