"""Every Python block of the original system's document, executed as it stands.

The table says, for each block, the only things that come from outside; the block's text is never changed.
"""

import datetime
import http.server
import inspect
import json
import re
import threading
from pathlib import Path

import pytest
from conftest import App

BLOCKS = {
    heading: text
    for heading, text in re.findall(
        r"^## (.*?)\n\n```python\n(.*?)```", (Path(__file__).parent / "seed_blocks.md").read_text(), re.S | re.M
    )
}

# Heading -> what is put around the block or given to it.
INJECTED = {
    "2. Python Direto": "nothing",
    "3. Scripts de Automação": "time.sleep ends the endless loop; schedule's clock says 03:00",
    "Arquivo: `backup.py`": "a body behind the comments of __init__",
    "Configurações de Backup": "the name self",
    "Limpeza Manual": "the name backup_id",
    "Agendamento": "the name schedule; a class that gets the function",
    "Função de Restauração": "the name backup_id",
    "Webhook para Backup": "requests.post goes to a receiver of the test; the name backup_info; a call of the function",
    "Monitoramento Externo": "the name datetime (a missing import); time.sleep ends the endless loop; a call of the function",
}

# Runs a block in a process of its own: the first argument is the block, the second what comes before, the third after.
RUN = """
import sys
block, before, after = sys.argv[1:4]
names = {"__name__": "__main__"}
exec(compile(before, "<injected>", "exec"), names)
try:
    exec(compile(block, "<block>", "exec"), names)
except SystemExit:
    pass
exec(compile(after, "<after>", "exec"), names)
"""

END_OF_SLEEP = "import time\ndef end(_seconds): raise SystemExit\ntime.sleep = end\n"


def block(heading: str) -> str:
    """A block's text."""
    return BLOCKS[heading]


def execute(app: App, heading: str, before: str = "", after: str = "", text: str | None = None) -> str:
    """Executes a block; what it prints."""
    done = app.python(RUN, text or block(heading), before, after)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_table_names_every_block() -> None:
    assert list(BLOCKS) == list(INJECTED)


def test_direct_use(sample: App) -> None:
    after = """
assert result["type"] == "manual" and result["status"] == "completed", result
assert status["last_backup"] == result and status["total_backups"] == 1, status
assert backups == [result]
"""
    execute(sample, "2. Python Direto", after=after)
    [row] = sample.cofre("list")
    names = sample.names(row)
    for name in (
        "database/administradores.sql",
        "database/dp_users.sql",
        "database/porteiros.sql",
        "database/relatorios.sql",
        "database/tipos_relatorio.sql",
        "database/trafego_users.sql",
        "static/css/style.css",
        "static/js/app.js",
        "config/requirements.txt",
        "config/env.example",
        "config/.gitignore",
    ):
        assert name in names, name
    assert names[-1] == "backup_info.json"


def test_automation_script(sample: App) -> None:
    # The library's clock stands a minute before 03:00 while the job is planned, and moves on at the first look.
    before = (
        END_OF_SLEEP
        + """
import datetime, schedule
class Clock(datetime.datetime):
    moment = datetime.datetime(2025, 8, 31, 2, 59)
    @classmethod
    def now(cls, tz=None):
        now = cls.moment
        return cls(now.year, now.month, now.day, now.hour, now.minute, now.second)
schedule.datetime.datetime = Clock
pending = schedule.run_pending
def run_pending():
    Clock.moment = Clock(2025, 8, 31, 3, 0, 0)
    pending()
schedule.run_pending = run_pending
"""
    )
    shown = execute(sample, "3. Scripts de Automação", before=before)
    assert "Executando backup programado..." in shown
    [row] = sample.cofre("list")
    assert row["type"] == "scheduled" and row["status"] == "completed"
    assert f"Backup concluído: {row['name']}" in shown


def test_a_script_is_told_of_a_failure(app: App) -> None:
    for file in [*app.root.glob("static/**/*")]:
        if file.is_file():
            file.unlink()
    job = block("3. Scripts de Automação").partition("# Agendar")[0] + "backup_job()\n"
    shown = execute(app, "3. Scripts de Automação", text=job)
    assert "Erro no backup: " in shown and "static" in shown
    assert app.cofre("list")[0]["status"] == "failed"


def test_the_class(sample: App) -> None:
    names: dict[str, object] = {}
    exec(block("Arquivo: `backup.py`") + "        pass\n", names)
    from cofre import BackupManager

    documented = inspect.signature(names["BackupManager"].__init__)  # type: ignore[misc]
    ours = inspect.signature(BackupManager.__init__)
    for name, parameter in documented.parameters.items():
        assert ours.parameters[name].default == parameter.default, name
    positional = [p.name for p in ours.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == list(documented.parameters)


def test_the_switches(sample: App) -> None:
    before = "from backup import backup_manager as self\nassert self.backup_config\nself.backup_config = None\n"
    after = """
assert self.create_backup()["status"] == "completed"
self.backup_config["database"] = self.backup_config["logs"] = False
assert self.create_backup()["status"] == "completed"
"""
    execute(sample, "Configurações de Backup", before, after)
    whole, part = (sample.names(row) for row in sample.cofre("list"))
    assert any(name.startswith("database/") for name in whole) and any(name.startswith("logs/") for name in whole)
    assert not any(name.startswith(("database/", "logs/")) for name in part)
    assert "static/css/style.css" in part


def test_manual_cleaning(sample: App) -> None:
    before = "from backup import create_backup\nbackup_id = create_backup()['id']\ncreate_backup()\n"
    shown = execute(sample, "Limpeza Manual", before, "assert status['total_backups'] == 1\n")
    assert re.search(r"Espaço total: 0\.0\d MB", shown), shown
    [row] = sample.cofre("list")
    assert row["id"] == 2
    assert [path.name for path in sample.backups.glob("*.zip")] == [f"{row['name']}.zip"]


def test_the_planning_function(sample: App) -> None:
    before = "import schedule\nfrom backup import BackupManager\n"
    after = """
class Planned(BackupManager):
    pass
Planned._setup_automated_backup = _setup_automated_backup
manager = Planned()
jobs = schedule.get_jobs()
assert [(str(job.at_time), job.start_day) for job in jobs] == [("02:00:00", None), ("03:00:00", "sunday")], jobs
schedule.run_all()
"""
    execute(sample, "Agendamento", before, after)
    assert [row["type"] for row in sample.cofre("list")] == ["automated", "weekly"]


def test_restoring(sample: App) -> None:
    before = "from backup import create_backup\nbackup_id = create_backup()['id']\n"
    shown = execute(sample, "Função de Restauração", before)
    path = Path(shown.removeprefix("Backup restaurado em: ").strip())
    assert (path / "static/css/style.css").read_bytes() == (sample.root / "static/css/style.css").read_bytes()
    assert (path / "database/restore.sql").is_file()
    shown = execute(sample, "Função de Restauração", "backup_id = 77\n")
    assert shown.startswith("Erro: ") and "77" in shown


def test_the_webhook(sample: App) -> None:
    bodies: list[bytes] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    before = f"""
import requests
post = requests.post
requests.post = lambda url, **rest: post("http://127.0.0.1:{server.server_port}/" + url.split("/", 3)[3], **rest)
from backup import create_backup
backup_info = create_backup()
"""
    shown = execute(sample, "Webhook para Backup", before, "notify_backup_complete(backup_info)\n")
    server.shutdown()
    assert "Notificação enviada com sucesso" in shown
    body = json.loads(bodies[0])
    [row] = sample.cofre("list")
    assert body == {
        "event": "backup_completed",
        "backup_id": row["id"],
        "backup_name": row["name"],
        "timestamp": row["timestamp"],
        "size_mb": row["size"] / (1024 * 1024),
    }


@pytest.mark.parametrize(("days", "alarm"), [(0, False), (2, False), (3, True), (40, True)])
def test_monitoring(sample: App, days: int, alarm: bool) -> None:
    made = sample.repository().create()
    history = sample.backups / "backup_history.json"
    rows = json.loads(history.read_text())
    earlier = datetime.datetime.fromisoformat(made["timestamp"]) - datetime.timedelta(days=days, minutes=1)
    rows[0]["timestamp"] = earlier.isoformat(timespec="microseconds")
    history.write_text(json.dumps(rows))
    before = END_OF_SLEEP + "from datetime import datetime\n"
    # The function is called within the try of the runner.
    text = block("Monitoramento Externo") + "\nmonitor_backup_system()\n"
    shown = execute(sample, "Monitoramento Externo", before, text=text)
    assert (f"ALERTA: Último backup há {days} dias!" in shown) is alarm, shown
