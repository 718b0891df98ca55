"""When did the Nile change? The library of the study; pipeline.py puts it together."""
