"""Events, plans, runs and errors as screens, progress bars, logs and JSON.

Every function here turns values into `Line` objects (`jpipe.render.styled_text`); only a `Paper` writes
(`jpipe.render.terminal`).
"""
