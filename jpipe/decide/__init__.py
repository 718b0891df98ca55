"""Which calls are fresh, and why the others are not: keys, records, reasons, the plan."""
