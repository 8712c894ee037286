//! The text of a new configuration, with a comment for everything that a newcomer may want to change.

use std::collections::BTreeSet;

use super::look::Found;
use crate::text::toml_string as quote;

/// The file for what was found.
pub(super) fn render(found: &Found, zone: Option<&str>) -> String {
    let mut out = String::from(
        "# Configuration of cofre, written by `cofre init`. Paths are relative to this file.\n\
         # `cofre config check` checks it, `cofre create --dry-run` lists what a backup would contain,\n\
         # `cofre create` makes one.\n\n\
         backup_dir  = \"backups\"        # archives and catalog; better on another disk\n\
         max_backups = 30               # newest completed backups that stay; see also keep_daily, keep_monthly, ...\n",
    );
    match zone {
        Some(zone) => out.push_str(&format!("time_zone   = {}\n", quote(zone))),
        None => out.push_str("# time_zone = \"America/Sao_Paulo\"   # default: the system's\n"),
    }
    let mut names = Names::default();
    for (folder, empty) in &found.folders {
        out.push_str(&folder_source(&mut names, folder, *empty));
    }
    if found.whole {
        names.0.insert("files".into());
        out.push_str(
            "\n# The whole folder. The backups folder and cofre's own are left out of it.\n\
             [sources.files]\npath    = \".\"\nexclude = [\"**/*.tmp\", \"**/__pycache__\", \"**/node_modules\"]\n",
        );
    } else if !found.files.is_empty() {
        out.push_str(&file_source(&mut names, &found.files));
    }
    out.push_str(&databases(found));
    out.push_str(
        "\n# When backups happen, for `cofre serve`. With cron or a systemd timer instead, run\n\
         # `cofre create --plan daily`.\n\
         [[schedules]]\nname = \"daily\"\ntype = \"automated\"\nat   = \"02:00\"\n\n\
         [[schedules]]\nname = \"weekly\"\ntype = \"weekly\"\nat   = \"sunday 03:00\"\nfull = true   # reads every byte again\n",
    );
    out.push_str(
        "\n# The REST API of `cofre serve`. `cofre token new NAME --role admin` prints a token and its line.\n\
         # [api]\n# listen = \"127.0.0.1:8642\"\n# [[api.tokens]]\n# name   = \"ops\"\n# role   = \"admin\"\n# sha256 = \"...\"\n",
    );
    out
}

/// Names that are taken; sources may not differ in case only.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn take(&mut self, wish: &str) -> String {
        let mut name = wish.to_owned();
        let mut n = 2;
        while !self.0.insert(name.to_lowercase()) {
            name = format!("{wish}_{n}");
            n += 1;
        }
        name
    }
}

fn folder_source(names: &mut Names, folder: &str, empty: bool) -> String {
    let logs = matches!(folder, "logs" | "log");
    let name = names.take(if logs { "logs" } else { folder });
    let mut out = format!("\n[sources.{}]\npath = {}\n", key(&name), quote(folder));
    if logs || empty {
        let why = if empty {
            "it is empty at the moment"
        } else {
            "a fresh installation has none"
        };
        out.push_str(&format!(
            "allow_empty = true   # {why}; without this an empty folder fails the run\n"
        ));
    }
    if name == "static" {
        out.push_str("exclude = [\"**/*.tmp\"]\n");
    }
    out
}

fn file_source(names: &mut Names, files: &[String]) -> String {
    let name = names.take("config");
    let mut out = String::from("\n# Single files.");
    if files.iter().any(|f| f == ".env") {
        out.push_str(" .env holds secrets: archives are readable by their owner only, keep it so.");
    }
    let list: Vec<_> = files.iter().map(|f| quote(f)).collect();
    out.push_str(&format!(
        "\n[sources.{}]\nfiles = [{}]\n",
        key(&name),
        list.join(", ")
    ));
    if name != "config" {
        out.push_str("switch = \"config\"\n");
    }
    out
}

fn databases(found: &Found) -> String {
    let mut out = String::new();
    let mut names = Names::default();
    if !found.databases.is_empty() {
        out.push_str("\n# Dumped as SQL from a consistent snapshot, also while the application writes.\n");
    }
    for path in &found.databases {
        let file = path.rsplit('/').next().unwrap_or(path);
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        let wish: String = stem
            .chars()
            .map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' })
            .take(32)
            .collect();
        let name = names.take(if wish.is_empty() { "app" } else { &wish });
        out.push_str(&format!(
            "[databases.{}]\nurl = {}\n",
            key(&name),
            quote(&format!("sqlite:{path}"))
        ));
    }
    for variable in &found.servers {
        out.push_str(&format!(
            "\n# .env names a database server in {variable}. Put its URL into a file of mode 0600 and take away the #:\n\
             # [databases.server]\n# url_file = \"database.url\"\n"
        ));
    }
    out
}

/// A key, in quotes where it has to be.
fn key(name: &str) -> String {
    let bare = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { name.to_owned() } else { quote(name) }
}
