"""Handing finished adapters to the machine that runs live."""
