// Reads iCalendar files with the npm packages ical.js and node-ical. Standard input has a list of texts as JSON; standard
// output gets, for each, what both packages read. They must agree.
import assert from "node:assert/strict";
import { text } from "node:stream/consumers";
import ICAL from "ical.js";
import ical from "node-ical";

function byIcalJs(source) {
  const calendar = new ICAL.Component(ICAL.parse(source));
  ICAL.TimezoneService.reset();
  for (const zone of calendar.getAllSubcomponents("vtimezone")) {
    ICAL.TimezoneService.register(new ICAL.Timezone(zone), zone.getFirstPropertyValue("tzid"));
  }
  const events = calendar.getAllSubcomponents("vevent").map((component) => {
    const event = new ICAL.Event(component);
    for (const name of ["dtstart", "dtend"]) {
      const zone = component.getFirstProperty(name).getParameter("tzid");
      assert(!zone || ICAL.TimezoneService.has(zone), `${zone} is not described`);
    }
    return {
      uid: event.uid,
      sequence: event.sequence,
      status: component.getFirstPropertyValue("status"),
      start: event.startDate.toUnixTime(),
      end: event.endDate.toUnixTime(),
      organizer: component.getFirstPropertyValue("organizer"),
      attendee: component.getFirstPropertyValue("attendee"),
    };
  });
  return { method: calendar.getFirstPropertyValue("method"), events };
}

function byNodeIcal(source) {
  const found = Object.values(ical.sync.parseICS(source));
  const person = (it) => (it === undefined ? null : typeof it === "string" ? it : it.val);
  const seconds = (it) => Math.floor(it.getTime() / 1000);
  const events = found.filter((it) => it.type === "VEVENT").map((it) => ({
    uid: it.uid,
    sequence: Number(it.sequence),
    status: it.status,
    start: seconds(it.start),
    end: seconds(it.end),
    organizer: person(it.organizer),
    attendee: person(it.attendee),
  }));
  return { events };
}

const sorted = (it) => it.events.sort((one, other) => (one.uid < other.uid ? -1 : 1));
const answers = JSON.parse(await text(process.stdin)).map((source) => {
  const [one, other] = [byIcalJs(source), byNodeIcal(source)];
  assert.deepEqual(sorted(other), sorted(one));
  return { method: one.method, events: sorted(one) };
});
console.log(JSON.stringify(answers));
