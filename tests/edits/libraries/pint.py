"""Steps on top of pint."""

import pint

UNITS = pint.UnitRegistry()


def converted():
    return str(UNITS.Quantity(3, "meter").to("foot").round(3))


def multiplied():
    return str(3 * UNITS.meter * (2 * UNITS.second))


def parsed():
    return str(UNITS("5 km/hour").to_base_units().magnitude)


def shown():
    return f"{UNITS.Quantity(1.5, 'newton'):~P}", f"{UNITS.meter**2:L}"


def dimensions():
    return str(UNITS.joule.dimensionality)


def mismatched():
    try:
        return UNITS.Quantity(1, "m") + UNITS.Quantity(1, "s")
    except pint.DimensionalityError as error:
        return str(error)


def temperatures():
    return UNITS.Quantity(25, "degC").to("kelvin").magnitude


def compared():
    return UNITS.Quantity(1, "km") > UNITS.Quantity(999, "m"), UNITS.Quantity(1, "km") == UNITS.Quantity(1000, "m")


def defined():
    own = pint.UnitRegistry()
    own.define("smoot = 1.7018 * meter")
    return own.Quantity(2, "smoot").to("meter").magnitude


def compacted():
    return str(UNITS.Quantity(12345, "meter").to_compact())


def checked():
    @UNITS.check("[length]")
    def double(x):
        return 2 * x

    return str(double(UNITS.Quantity(2, "m")))
