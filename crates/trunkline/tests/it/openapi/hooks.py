"""What the description can't say: which days there are, that they lie in order, and not too far from one another."""

import re
from datetime import date, timedelta

import schemathesis
from hypothesis import strategies
from schemathesis import GenerationMode
from schemathesis.openapi.checks import IgnoredAuth

FIRST, LAST = date(1970, 1, 1), date(2100, 12, 31)

# Of each path the parameters, and how many days they may be apart.
PERIODS = {
    "/dashboard": ("from", "to", 92),
    "/dashboard/{table}": ("from", "to", 92),
    "/data_usage": ("start_time", "end_time", 366),
    "/v1/towers/{id}/activity": ("from", "to", 31),
    "/v1/usage/{msisdn}": ("from", "to", 366),
}

DAY = re.compile(r"(\d{4})(-?)(\d{2})\2(\d{2})")

schemathesis.openapi.format("date", strategies.dates(FIRST, LAST).map(str))


@schemathesis.hook
def map_case(context, case):
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return case
    if case.operation.path in PERIODS:
        put_in_order(case.query, *PERIODS[case.operation.path])
    if "subscriber" in case.query:
        case.query["subscriber"] = DAY.sub(lambda found: str(day(found[0])), str(case.query["subscriber"]))
    if case.operation.path == "/messages":
        for message in case.body if isinstance(case.body, list) else [case.body]:
            give_real_times(message)
    return case


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Who has tried too often is refused with a 429, which is no less than the 401 that the check wants."""
    return not (isinstance(failure, IgnoredAuth) and response.status_code == 429)


def put_in_order(query, first, last, most):
    if not all(DAY.match(str(query.get(name, ""))) for name in (first, last)):
        return
    begin, end = day(query[first]), day(query[last])
    end = min(begin + abs(end - begin) % timedelta(most), LAST)
    # Within one day the later hour would have to be the last one.
    rest = query[first if begin == end else last]
    query[first], query[last] = written(query[first], begin), written(rest, end)


def give_real_times(message):
    for name in ("room_created_at", "message_date"):
        # An offset may move a time by a day, out of the years that there are.
        real = min(max(day(message[name]), FIRST + timedelta(1)), LAST - timedelta(1))
        message[name] = written(message[name], real)


def day(text):
    year, _, month, number = DAY.match(text).groups()
    return date(int(year), int(month), min(int(number), 28))


def written(text, day):
    return DAY.sub(lambda found: day.strftime(f"%Y{found[2]}%m{found[2]}%d"), text, count=1)
