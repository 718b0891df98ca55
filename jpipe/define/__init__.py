"""What users write, and the calls that it is laid out into: step, pipeline, layout, map, loader."""
