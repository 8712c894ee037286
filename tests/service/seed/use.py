"""Section 2 and 3 of the seed: create, status, list, and what a script does with the answers."""

import io
import json
import zipfile

from backup import create_backup, download, get_backup_status, list_backups

# Criar backup
result = create_backup('manual')

# Ver status
status = get_backup_status()

# Listar backups
backups = list_backups()


def backup_job():
    print("Executando backup programado...")
    result = create_backup('scheduled')
    if result['status'] == 'completed':
        print(f"Backup concluído: {result['name']}")
    else:
        print(f"Erro no backup: {result.get('error', 'Erro desconhecido')}")


print(f"Espaço total: {status['total_size_mb']} MB")
backup_job()

assert result["type"] == "manual" and result["status"] == "completed", result
assert status["last_backup"] == result, status
assert status["total_backups"] == 1 and status["completed_backups"] == 1, status
assert status["failed_backups"] == 0 and status["total_size_bytes"] == result["size"], status
assert backups == [result], backups
assert [backup["type"] for backup in list_backups()] == ["manual", "scheduled"]
archive = zipfile.ZipFile(io.BytesIO(download(result["id"])))
assert archive.testzip() is None
assert json.loads(archive.read("backup_info.json"))["name"] == result["name"]
