"""Fits a market model to price bars, and compares the fitted model with these bars.

The package does no I/O and reads no clock.
"""
