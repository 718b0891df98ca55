"""Live functions, classes, modules and constants, followed from one to the next."""
