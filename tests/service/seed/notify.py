"""The webhook of the seed, sent by the seed's own function for the newest backup."""

import os
import sys

import requests

from backup import list_backups


def notify_backup_complete(backup_info):
    webhook_url = sys.argv[1]
    payload = {
        "event": "backup_completed",
        "backup_id": backup_info['id'],
        "backup_name": backup_info['name'],
        "timestamp": backup_info['timestamp'],
        "size_mb": backup_info['size'] / (1024 * 1024)
    }

    response = requests.post(webhook_url, json=payload)
    if response.status_code == 200:
        print("Notificação enviada com sucesso")
    else:
        print(f"Erro ao enviar notificação: {response.status_code}")


os.environ["NO_PROXY"] = "*"
notify_backup_complete(list_backups()[-1])
