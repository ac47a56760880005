"""Reads iCalendar files with Python's icalendar, for the tests of what other programs understand.

Reads a list of texts as JSON and answers what each says. Every time zone must be described in its file, and the description
must agree with zoneinfo for the times that use it.
"""

import json
import sys
from datetime import timezone
from zoneinfo import ZoneInfo

from icalendar import Calendar


def instant(calendar, event, name):
    value = event[name]
    at = value.dt
    zone = value.params.get("TZID")
    if zone is not None:
        described = {str(it["TZID"]): it for it in calendar.walk("VTIMEZONE")}
        own = at.replace(tzinfo=described[zone].to_tz()).astimezone(timezone.utc)
        known = at.replace(tzinfo=ZoneInfo(zone)).astimezone(timezone.utc)
        assert own == known, (zone, own, known)
        at = known
    return int(at.timestamp())


def read(text):
    calendar = Calendar.from_ical(text)
    assert not calendar.errors, calendar.errors
    events = []
    for event in calendar.walk("VEVENT"):
        assert not event.errors, event.errors
        attendee = event.get("ATTENDEE")
        attendee = attendee[0] if isinstance(attendee, list) else attendee
        events.append({
            "uid": str(event["UID"]),
            "sequence": int(event["SEQUENCE"]),
            "status": str(event["STATUS"]),
            "start": instant(calendar, event, "DTSTART"),
            "end": instant(calendar, event, "DTEND"),
            "organizer": str(event["ORGANIZER"]) if "ORGANIZER" in event else None,
            "attendee": str(attendee) if attendee is not None else None,
        })
    return {"method": str(calendar["METHOD"]), "events": sorted(events, key=lambda it: it["uid"])}


print(json.dumps([read(text) for text in json.load(sys.stdin)]))
