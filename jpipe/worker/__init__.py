"""What a worker does with a chunk of items: take its inputs, seed, capture, call, write, report."""
