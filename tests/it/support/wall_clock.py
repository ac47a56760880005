"""Computes the starts of bookings with Python's zoneinfo, for the tests of availability.

Reads a list of cases as JSON and answers a list of results. A case has a `zone`, days `from` and `to` (exclusive), `duration`
and `step` in minutes, and `owners`: the hours of each as `week` (spans of minutes for the days 1 to 7, or null for always)
and `overrides` (spans by day). A result has the `starts` and, for some quarters of an hour (one of `every` so many), the `reasons`
for which it is none; both by the second of the epoch.
"""

import json
import sys
from bisect import bisect_right
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

UTC = timezone.utc


def instants(local, zone):
    """The instants at which the clock shows this time: none, one or two, earliest first."""
    found = set()
    for fold in (0, 1):
        at = local.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if at.astimezone(zone).replace(tzinfo=None) == local:
            found.add(at)
    return sorted(found)


def boundary(local, zone):
    """When the hours open or close: the first instant that shows this time, or the clock change that skips it."""
    found = instants(local, zone)
    if found:
        return found[0]
    at = (local - timedelta(days=1)).replace(tzinfo=zone).astimezone(UTC)
    while at.astimezone(zone).replace(tzinfo=None) < local:
        at += timedelta(minutes=1)
    return at


def clock(day, minute):
    return datetime(day.year, day.month, day.day) + timedelta(minutes=minute)


def spans(owner, day):
    single = owner["overrides"].get(day.isoformat())
    if single is not None:
        return single
    if owner["week"] is None:
        return [[0, 1440]]
    return owner["week"].get(str(day.isoweekday()), [])


def both(one, other):
    """Minutes of a day in which both are open."""
    cut = [[max(a, c), min(b, d)] for a, b in one for c, d in other]
    return sorted([a, b] for a, b in cut if a < b)


def merged(intervals):
    """Intervals in order, none of which touches another."""
    found = []
    for opens, closes in sorted(intervals):
        if found and opens <= found[-1][1]:
            found[-1][1] = max(found[-1][1], closes)
        else:
            found.append([opens, closes])
    return found


def covered(intervals, begin, end):
    """The part of an interval, from its begin, that lies in merged others; equal to `end` when all of it does."""
    at = bisect_right(intervals, begin, key=lambda it: it[0]) - 1
    if at < 0 or intervals[at][1] <= begin:
        return begin
    return min(intervals[at][1], end)


def solve(case):
    zone, owners = ZoneInfo(case["zone"]), case["owners"]
    first, last = date.fromisoformat(case["from"]), date.fromisoformat(case["to"])
    duration = timedelta(minutes=case["duration"])
    open_of = []
    for owner in owners:
        day, own = first - timedelta(days=1), []
        while day <= last + timedelta(days=1):
            own += [(boundary(clock(day, a), zone), boundary(clock(day, b), zone)) for a, b in spans(owner, day)]
            day += timedelta(days=1)
        open_of.append(merged(own))
    starts, reasons, day, quarter = set(), {}, first, 0
    while day < last:
        opening = [[0, 1440]]
        for owner in owners:
            opening = both(opening, spans(owner, day))
        steps = {clock(day, at) for a, b in opening for at in range(a, b, case["step"])}
        for local in steps:
            for at in instants(local, zone)[:1]:
                if all(covered(own, at, at + duration) == at + duration for own in open_of):
                    starts.add(at)
        for minute in range(0, 1440, 15):
            quarter += 1
            if quarter % case["every"]:
                continue
            local = clock(day, minute)
            for at in instants(local, zone):
                end = at + duration
                gaps = [(owner, covered(own, at, end)) for owner, own in zip(owners, open_of) if covered(own, at, end) < end]
                if not gaps:
                    reasons[int(at.timestamp())] = None if local in steps else "STEP"
                    continue
                days = [(owner, (gap + timedelta(minutes=n)).astimezone(zone).date().isoformat())
                        for owner, gap in gaps for n in range(int((end - gap).total_seconds() // 60))]
                is_single = any(day in owner["overrides"] for owner, day in days)
                reasons[int(at.timestamp())] = "OVERRIDE" if is_single else "HOURS"
        day += timedelta(days=1)
    return {"starts": sorted(int(it.timestamp()) for it in starts), "reasons": reasons}


def changes(zone, first, last):
    """The days on which the clock changes."""
    found, day = [], date.fromisoformat(first)
    while day < date.fromisoformat(last):
        at = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone))
        before = at.replace(tzinfo=None) - timedelta(days=1)
        if at.utcoffset() != before.replace(tzinfo=ZoneInfo(zone)).utcoffset():
            found.append(day.isoformat())
        day += timedelta(days=1)
    return found


asked = json.load(sys.stdin)
print(json.dumps([changes(**it["changes"]) if "changes" in it else solve(it) for it in asked]))
