"""The contract's records as the dictionaries that `cofre --json` and the original system give."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from .config import Config

Record = dict[str, Any]
"""A row: `id`, `name`, `type`, `timestamp`, `status`, `size`, `error`, `zip_path` as in the original system, then `plan`,
`started_at`, `finished_at`, `duration_seconds`, `file_count`, `source_bytes`, `skipped`, `changed`, `sha256`,
`reused_bytes`, `pinned`, `verified_at`, `verify_status`, `drilled_at`, `drill_status`, `restored_at`, `archive_present`,
`encrypted`."""


def row(backup: dict[str, Any]) -> Record:
    """A row of the catalog."""
    fields = {("type" if key == "backup_type" else key): value for key, value in backup.items()}
    fields["status"] = fields["status"].replace("-", "_")
    return fields


def status(summary: dict[str, Any] | None, config: Config) -> dict[str, Any]:
    """The totals, with what only the configuration knows; `None` stands for a folder that does not exist yet."""
    if summary is None:
        numbers = ("total_backups", "completed_backups", "failed_backups", "partial_backups", "total_size_bytes")
        summary = dict.fromkeys(numbers, 0) | {"last_backup": None, "last_success": None}
        summary |= {"archives_missing": [], "archives_unknown": [], "future": []}
    last, success = summary["last_backup"], summary["last_success"]
    return {
        "total_backups": summary["total_backups"],
        "completed_backups": summary["completed_backups"],
        "failed_backups": summary["failed_backups"],
        "partial_backups": summary["partial_backups"],
        "total_size_bytes": summary["total_size_bytes"],
        "total_size_mb": round(summary["total_size_bytes"] / 1_048_576, 2),
        "max_backups": config.retention.max_backups,
        "backup_dir": config.zip_path_prefix.rstrip("/"),
        "last_backup": row(last) if last else None,
        "last_success": row(success) if success else None,
        "archives_missing": summary["archives_missing"],
        "archives_unknown": summary["archives_unknown"],
        "future": summary["future"],
    }


def entry(item: dict[str, Any]) -> dict[str, Any]:
    """One entry of an archive."""
    kind = item["kind"]
    return {
        "path": item["path"],
        "kind": kind.tag,
        **({"target": kind.payload} if kind.tag == "symlink" else {}),
        "size": item["size"],
        "compressed_size": item["compressed_size"],
        "mtime": None if item["mtime_ns"] is None else _utc(item["mtime_ns"]),
        "mode": None if item["mode"] is None else f"{item['mode']:04o}",
        "crc32": None if item["crc32"] is None else f"{item['crc32']:08x}",
        "changed": item["changed"],
    }


def _utc(ns: int) -> str:
    seconds, nanos = divmod(ns, 1_000_000_000)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"


def details(report: dict[str, Any]) -> dict[str, Any]:
    """The rest of a manifest."""
    return {
        "backup": row(report["backup"]),
        "component_version": report["component_version"],
        "databases": report["databases"],
        "skipped": report["skips"],
    }


def verification(report: dict[str, Any]) -> dict[str, Any]:
    """What a verification found, with its result in one word."""
    result = "failed" if report["problems"] else "verified" if report["manifest"] else "verified (no manifest)"
    return {**report, "backup": row(report["backup"]), "status": result}


def verdict(report: dict[str, Any]) -> dict[str, Any]:
    """What retention says of one backup."""
    return {**report, "backup": row(report["backup"])}


def rebuilt(report: dict[str, Any]) -> dict[str, Any]:
    """What a rebuild did."""
    return {**report, "backups": [row(backup) for backup in report["backups"]]}
