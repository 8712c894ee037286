#!/usr/bin/env python3
"""Copies the only backup of a backups folder until the catalog has so many: catalog.py BACKUPS COUNT."""
import datetime
import json
import os
import sys

folder, count = sys.argv[1], int(sys.argv[2])
history, state = (os.path.join(folder, name) for name in ("backup_history.json", ".catalog.json"))
[first] = json.load(open(history))
records = []
for number in range(1, count + 1):
    made = datetime.datetime(2026, 1, 1) + datetime.timedelta(hours=number)
    name = f"backup_{made:%Y%m%d_%H%M%S}_manual"
    stamp = made.isoformat(timespec="microseconds")
    records.append(first | {
        "id": number, "name": name, "timestamp": stamp, "started_at": stamp + "+00:00", "finished_at": stamp + "+00:00",
        "zip_path": f"backups/{name}.zip",
    })
    for suffix in (".zip", ".zip.sha256"):
        os.link(os.path.join(folder, first["name"] + suffix), os.path.join(folder, name + suffix))
for suffix in (".zip", ".zip.sha256"):
    os.unlink(os.path.join(folder, first["name"] + suffix))
json.dump(records, open(history, "w"), indent=2)
content = json.load(open(state))
content["next_id"] = content["totals"]["through"] = count + 1
content["totals"]["through"] = count
json.dump(content, open(state, "w"))
