"""The monitoring loop of the seed, for one turn."""

# Verificar status periodicamente
import time
from datetime import datetime

from backup import get_backup_status


def monitor_backup_system():
    while True:
        status = get_backup_status()

        # Alertar se não há backups recentes
        if status['last_backup']:
            last_backup_time = datetime.fromisoformat(status['last_backup']['timestamp'])
            days_since_backup = (datetime.now() - last_backup_time).days

            if days_since_backup > 2:
                print(f"ALERTA: Último backup há {days_since_backup} dias!")

        time.sleep(3600)  # Verificar a cada hora


class OneTurn(Exception):
    pass


def end(_seconds):
    raise OneTurn


time.sleep = end
try:
    monitor_backup_system()
except OneTurn:
    print("uma volta")
