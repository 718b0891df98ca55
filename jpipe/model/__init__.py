"""The words that all rooms share, as passive values: outcomes, reasons, events, step options, plan, report."""
