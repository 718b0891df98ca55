"""What is asked of the machine and the interpreter: whose file is it, audit events, main module, cores, errors."""
