"""Counting what a scratch server holds: by databases, by patterns, and some values by digest.

What lives here: the one script that counts inside the server, and reading what comes of it. What
must not: the server's life (scratch.py). The script would block a live server for seconds; in
a scratch server nobody waits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence

from tasks.backup.manifest import Contents, Count
from tasks.host import HostFault

#: Of each database, so many values are compared.
SAMPLES = 32

#: Arguments: databases, each with its keys that have a time to live, and patterns, both as JSON;
#: how many keys to choose from each database; `yes` where SCAN may show a key twice, because a
#: table is being resized: it is, after a log was loaded, which does not say how many will come.
SCRIPT = """\
local out = {patterns = {}, samples = {}}
local function hex(text)
  return (string.gsub(text, '.', function(c) return string.format('%02x', string.byte(c)) end))
end
for _, pattern in ipairs(cjson.decode(ARGV[2])) do out.patterns[pattern] = {0, 0} end
for _, each in ipairs(cjson.decode(ARGV[1])) do
  local database, volatile = each[1], each[2] > 0
  redis.call('SELECT', database)
  for pattern, count in pairs(out.patterns) do
    local cursor, seen = '0', {}
    repeat
      local page = redis.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', 1000)
      cursor = page[1]
      for _, key in ipairs(page[2]) do
        if not seen[key] then
          if ARGV[4] == 'yes' then seen[key] = true end
          count[1] = count[1] + 1
          if volatile and redis.call('PTTL', key) >= 0 then count[2] = count[2] + 1 end
        end
      end
    until cursor == '0'
  end
  for _ = 1, tonumber(ARGV[3]) do
    local key = redis.call('RANDOMKEY')
    if key and #key <= 512 and redis.call('PTTL', key) == -1 then
      out.samples[database .. ':' .. hex(key)] = true
    end
  end
end
return cjson.encode(out)
"""

Ask = Callable[..., str]  #: words, and `stdin`; gives the answer as redis-cli prints it


def gather(
    ask: Ask, patterns: Sequence[str], samples: Sequence[str], *, from_dump: bool
) -> Contents:
    """Count; with no samples given, choose some. Raises HostFault at an answer that is none."""
    there = databases(_info(ask))
    listed = json.dumps(sorted([int(name), each.volatile] for name, each in there.items()))
    choose = "0" if samples else str(SAMPLES)
    twice = "no" if from_dump else "yes"
    said = ask("EVAL", SCRIPT, "0", listed, json.dumps(list(patterns)), choose, twice)
    try:
        counted = json.loads(said)
        found = {name: Count(*count) for name, count in dict(counted["patterns"]).items()}
        chosen = sorted(samples or counted["samples"])
    except (ValueError, KeyError, TypeError) as error:
        raise HostFault(f"the scratch server could not count: {said.strip()[:200]}") from error
    digests = _digests(ask, chosen)
    # After the count, which let go what had expired.
    info = _info(ask)
    now = databases(info)
    if from_dump:
        total = int(info["rdb_last_load_keys_loaded"]) + int(info["rdb_last_load_keys_expired"])
    else:
        total = sum(count.keys for count in now.values())
    return Contents(total, now, found, int(info.get("number_of_functions", 0)), digests)


def _info(ask: Ask) -> Mapping[str, str]:
    said = dict(line.partition(":")[::2] for line in ask("INFO").splitlines())
    if "redis_version" not in said:
        raise HostFault("the scratch server does not say anything about itself")
    return said


def databases(info: Mapping[str, str]) -> dict[str, Count]:
    found = {}
    for name, value in info.items():
        match = re.fullmatch(r"keys=(\d+),expires=(\d+),.*", value)
        if match and re.fullmatch(r"db\d+", name):
            found[name[2:]] = Count(int(match[1]), int(match[2]))
    return found


def _digests(ask: Ask, samples: Sequence[str]) -> dict[str, str]:
    """By value and not by serialization: that differs with a table's order in memory."""
    if not samples:
        return {}
    lines = []
    for each in samples:
        database, _, key = each.partition(":")
        quoted = "".join(f"\\x{key[at : at + 2]}" for at in range(0, len(key), 2))
        lines += [f"SELECT {database}", f'DEBUG DIGEST-VALUE "{quoted}"']
    said = ask(stdin="\n".join(lines) + "\n").split()
    digests = [word for word in said if word != "OK"]
    if len(digests) != len(samples) or not all(len(digest) == 40 for digest in digests):
        raise HostFault(f"the scratch server gives no digests: {' '.join(said)[:200]}")
    return dict(zip(samples, digests, strict=True))
