"""How jpipe compares, in seconds, with what else people would use and with scripts that do nothing but the work."""
