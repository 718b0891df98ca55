"""Caching pipelines on joblib."""
