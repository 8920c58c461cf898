"""A refrigerated truck: its cargo follows the set point, and warms while the door is open."""

import random

OUTSIDE_C = 22


class Truck:
    def __init__(self, device, seed):
        self.random = random.Random(f"{seed}/{device}")
        self.set_point_c = self.temp_c = -18.0
        self.open_for = 0.0
        self.lat, self.lon = self.random.uniform(47, 54), self.random.uniform(6, 14)

    def next(self, seconds):
        if self.open_for <= 0 and self.random.random() < seconds / 3600:
            self.open_for = self.random.uniform(120, 900)
        aim, minutes = (OUTSIDE_C, 10) if self.open_for > 0 else (self.set_point_c, 5)
        self.temp_c += (aim - self.temp_c) * min(1, seconds / 60 / minutes)
        self.open_for -= seconds
        return {
            "truck": "{device}",
            "at": "{timestamp}",
            "message_id": "{message_id}",
            "temp_c": round(self.temp_c + self.random.uniform(-0.3, 0.3), 1),
            "set_point_c": self.set_point_c,
            "door": "open" if self.open_for > 0 else "closed",
            "position": {"lat": round(self.lat, 4), "lon": round(self.lon, 4)},
        }

    def follow(self, desired):
        """Take a set point out of the shadow, within what the unit can do, and report what holds."""
        wanted = desired.get("set_point_c")
        if isinstance(wanted, int | float) and -30 <= wanted <= 12:
            self.set_point_c = float(wanted)
        return {"set_point_c": self.set_point_c}
