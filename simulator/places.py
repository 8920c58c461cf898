"""Where stations stand: in and around cities, and along the motorways between them.

The network is laid over Germany: its twenty largest cities weigh by their inhabitants (millions, Destatis 2023,
rounded). Motorways are straight lines between cities that one joins, with the number of the longest part. That stations
spread like people is assumed.
"""

import math
import random

# name: latitude, longitude, inhabitants in millions
CITIES: dict[str, tuple[float, float, float]] = {
    "Berlin": (52.52, 13.40, 3.78),
    "Hamburg": (53.55, 9.99, 1.91),
    "München": (48.14, 11.58, 1.51),
    "Köln": (50.94, 6.96, 1.09),
    "Frankfurt": (50.11, 8.68, 0.78),
    "Stuttgart": (48.78, 9.18, 0.63),
    "Düsseldorf": (51.23, 6.78, 0.63),
    "Leipzig": (51.34, 12.37, 0.62),
    "Dortmund": (51.51, 7.47, 0.60),
    "Essen": (51.46, 7.01, 0.59),
    "Bremen": (53.08, 8.80, 0.58),
    "Dresden": (51.05, 13.74, 0.57),
    "Hannover": (52.37, 9.73, 0.55),
    "Nürnberg": (49.45, 11.08, 0.53),
    "Mannheim": (49.49, 8.47, 0.32),
    "Karlsruhe": (49.01, 8.40, 0.31),
    "Münster": (51.96, 7.63, 0.32),
    "Kassel": (51.31, 9.49, 0.20),
    "Rostock": (54.09, 12.10, 0.21),
    "Freiburg": (47.99, 7.85, 0.24),
}
MOTORWAYS: tuple[tuple[str, str, str], ...] = (
    ("Berlin", "Hannover", "A2"),
    ("Hannover", "Dortmund", "A2"),
    ("Hamburg", "Bremen", "A1"),
    ("Bremen", "Münster", "A1"),
    ("Münster", "Dortmund", "A1"),
    ("Dortmund", "Köln", "A1"),
    ("Köln", "Frankfurt", "A3"),
    ("Frankfurt", "Nürnberg", "A3"),
    ("Hamburg", "Hannover", "A7"),
    ("Hannover", "Kassel", "A7"),
    ("Kassel", "Frankfurt", "A5"),
    ("Frankfurt", "Mannheim", "A5"),
    ("Mannheim", "Karlsruhe", "A5"),
    ("Karlsruhe", "Freiburg", "A5"),
    ("Karlsruhe", "Stuttgart", "A8"),
    ("Stuttgart", "München", "A8"),
    ("München", "Nürnberg", "A9"),
    ("Nürnberg", "Leipzig", "A9"),
    ("Leipzig", "Berlin", "A9"),
    ("Berlin", "Dresden", "A13"),
    ("Berlin", "Rostock", "A19"),
    ("Hamburg", "Berlin", "A24"),
)

_KM_A_DEGREE = 111.2
# How far from a city's middle its stations are: one standard deviation, for a million inhabitants. Assumed.
_SPREAD_KM = 7.0
# How far a motorway is from the straight line.
_BEND_KM = 4.0
# About a hundred metres.
_DECIMALS = 3


def place(chance: random.Random, *, motorway: bool) -> tuple[float, float]:
    """Draw where a station stands.

    Returns:
        Latitude and longitude in degrees (WGS 84), to about a hundred metres.
    """
    if motorway:
        lengths = [_km(CITIES[one], CITIES[other]) for one, other, _ in MOTORWAYS]
        [(one, other, _)] = chance.choices(MOTORWAYS, lengths)
        part = chance.uniform(0.08, 0.92)
        latitude, longitude = (
            begin + part * (end - begin)
            for begin, end in zip(CITIES[one][:2], CITIES[other][:2], strict=True)
        )
        spread = _BEND_KM
    else:
        cities = list(CITIES.values())
        [(latitude, longitude, millions)] = chance.choices(cities, [city[2] for city in cities])
        spread = _SPREAD_KM * math.sqrt(millions)
    north, east = chance.gauss(0, spread), chance.gauss(0, spread)
    squeeze = math.cos(math.radians(latitude))
    return (
        round(latitude + north / _KM_A_DEGREE, _DECIMALS),
        round(longitude + east / _KM_A_DEGREE / squeeze, _DECIMALS),
    )


def _km(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    squeeze = math.cos(math.radians((one[0] + other[0]) / 2))
    return _KM_A_DEGREE * math.hypot(one[0] - other[0], (one[1] - other[1]) * squeeze)
