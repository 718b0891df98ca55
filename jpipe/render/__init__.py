"""Plans, runs, failures and graphs as text for people.

Every function here turns values into `Line` objects (`jpipe.render.lines`); only a `Paper` writes
(`jpipe.render.paper`).
"""
