"""The module `backup` that the seed's snippets import, over the REST API."""

import os

import requests

_api = requests.Session()
_api.trust_env = False
_api.headers["Authorization"] = "Bearer " + os.environ["COFRE_TOKEN"]
_base = os.environ["COFRE_URL"] + "/api/backup"


def _answer(response):
    response.raise_for_status()
    body = response.json()
    assert body["success"] is True, body
    return body


def create_backup(kind):
    return _answer(_api.post(_base + "/criar", json={"tipo": kind}))["backup"]


def get_backup_status():
    return _answer(_api.get(_base + "/status"))["status"]


def list_backups():
    return _answer(_api.get(_base + "/listar"))["backups"]


def download(backup_id):
    with _api.get(_base + f"/download/{backup_id}", stream=True) as response:
        response.raise_for_status()
        return b"".join(response.iter_content(65536))
