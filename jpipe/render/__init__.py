"""Plans, runs, failures and graphs as text for people.

Every function here turns values into `Line` objects (`jpipe.render.styled_text`); only a `Paper` writes
(`jpipe.render.terminal`).
"""
