"""The words everyone uses: tick, quote, instrument, event, ids, and the one codec. Pure."""
