"""What differs between two values: numbers, arrays, tables, containers, text, figures."""
