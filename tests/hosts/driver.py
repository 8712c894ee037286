"""Asks the Python host for one operation: `driver.py OPERATION ARGUMENTS-AS-JSON`; prints `{"ok": …}` or `{"error": code}`."""

import json
import sys

import cofre

operation, arguments = sys.argv[1], json.loads(sys.argv[2])
repository = cofre.Repository(cofre.load("cofre.toml"))
if "only" in arguments:
    arguments["only"] = tuple(arguments["only"])
try:
    answer = {"ok": getattr(repository, operation)(**arguments)}
except cofre.CofreError as error:
    answer = {"error": error.code}
    print(error, file=sys.stderr)
print(json.dumps(answer))
