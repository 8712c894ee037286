//! A systemd unit for one configuration: as little as the service needs, with a comment where a choice was made.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ending::{CANCEL, DEFAULT_GRACE};
use crate::config::{Config, DatabaseEngine, Origin};

/// What systemd adds to the service's own limits before it kills.
const STOP_MARGIN: Duration = Duration::from_secs(15);

/// Open files besides those of connections: archives, sources, logs.
const SPARE_FILES: usize = 1_024;

/// Folders of users, which `ProtectHome=yes` would hide.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// Folders that `PrivateTmp=yes` would replace.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// What a unit is made of.
#[derive(Debug, Clone, Copy)]
pub struct Unit<'a> {
    /// What the service will work on; its file has to be known.
    pub config: &'a Config,
    /// Who it runs as.
    pub user: &'a str,
    /// The program, absolute.
    pub binary: &'a Path,
}

/// Whether `name` can be the name or number of a user.
#[must_use]
pub fn is_user(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (1..=32).contains(&name.len()) && !name.starts_with(['-', '.']) && name.chars().all(good)
}

impl Unit<'_> {
    /// The text of the unit.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = self.head();
        out.push_str(&self.unit_section());
        out.push_str(&self.service_section());
        out.push_str(&self.privileges());
        out.push_str(&self.files());
        out.push_str(FIXED);
        if self.config.group.is_some() {
            out.push_str("SystemCallFilter=@chown\n");
        }
        out.push_str("\n[Install]\nWantedBy=multi-user.target\n");
        out
    }

    fn head(&self) -> String {
        let mut out = String::from(
            "# Written by `cofre service print`. Save it as /etc/systemd/system/cofre.service, then\n\
             # `systemctl daemon-reload && systemctl enable --now cofre`.\n\
             # It fits the configuration as it is now: print it again when a path in there changes.\n",
        );
        let missing: Vec<_> = self
            .writable()
            .iter()
            .filter(|path| !path.exists())
            .map(|path| quote(path, false))
            .collect();
        if !missing.is_empty() {
            let _ = writeln!(
                out,
                "# What it writes to has to exist before the first start, and this does not yet:\n\
                 #   install -d -m 0700 -o {} {}",
                self.user,
                missing.join(" ")
            );
        }
        if self
            .log_folder()
            .is_some_and(|log| self.config.dir.starts_with(log))
        {
            out.push_str(
                "# `log.file` lies in or above the configuration's own folder, which is therefore writable: a folder\n\
                 # for logs alone would be better.\n",
            );
        }
        if !self.config.hooks.before.is_empty() || !self.config.hooks.after.is_empty() {
            out.push_str(
                "# The programs of [hooks] run under the same limits: no sudo, no writing elsewhere. Loosen what\n\
                 # they need in a drop-in (`systemctl edit cofre`).\n",
            );
        }
        out
    }

    fn unit_section(&self) -> String {
        let mut mounts: BTreeSet<PathBuf> = self.writable();
        mounts.extend(self.sources());
        format!(
            "\n[Unit]\nDescription=Backups of {} (cofre)\nWants=network-online.target\nAfter=network-online.target\n\
             # An unmounted disk must not look like an empty folder.\nRequiresMountsFor={}\n",
            escape_text(&self.config.repository),
            list(&mounts, "")
        )
    }

    fn service_section(&self) -> String {
        let grace = self.config.api.as_ref().map_or(DEFAULT_GRACE, |api| api.grace);
        let stop = grace + CANCEL + STOP_MARGIN;
        let connections = self.config.api.as_ref().map_or(0, |api| api.max_connections);
        let file = self.config.file.as_deref().unwrap_or(Path::new("cofre.toml"));
        format!(
            "\n[Service]\nType=notify\nUser={user}\nExecStart={binary} --config {file} serve\n\
             # A running backup gets api.grace to finish, then it is cancelled; only then comes SIGKILL.\n\
             KillMode=mixed\nTimeoutStopSec={stop}\n\
             # 9: a backup was cut short by the stop, and is recorded as cancelled.\n\
             SuccessExitStatus=9\nRestart=on-failure\nRestartSec=10\n\
             # 2: the configuration is wrong, 6: another service has the state folder. Trying again mends neither.\n\
             RestartPreventExitStatus=2 6\nLimitNOFILE={files}\n",
            user = self.user,
            binary = quote(self.binary, true),
            file = quote(file, true),
            stop = stop.as_secs(),
            // A connection may have an archive open.
            files = 2 * connections + SPARE_FILES,
        )
    }

    fn privileges(&self) -> String {
        let low_port = self
            .config
            .api
            .as_ref()
            .is_some_and(|api| (1..1024).contains(&api.listen.port()));
        let mut capabilities = Vec::new();
        let mut out = String::from("\n# Privileges\nNoNewPrivileges=yes\nUMask=0077\n");
        if matches!(self.user, "root" | "0") {
            out.push_str("# What root is needed for: reading what belongs to others.\n");
            capabilities.push("CAP_DAC_READ_SEARCH");
        } else {
            out.push_str(
                "# Where files of other users have to be read, add AmbientCapabilities=CAP_DAC_READ_SEARCH and the\n\
                 # same to the bounding set, or put the user into their group.\n",
            );
        }
        if low_port {
            capabilities.push("CAP_NET_BIND_SERVICE");
            out.push_str("AmbientCapabilities=CAP_NET_BIND_SERVICE\n");
        }
        let _ = writeln!(out, "CapabilityBoundingSet={}", capabilities.join(" "));
        if let Some(group) = &self.config.group {
            let _ = writeln!(
                out,
                "# To give catalog and state to the group of `group`; the call itself is allowed at the end.\n\
                 SupplementaryGroups={}",
                escape_text(group)
            );
        }
        out
    }

    fn files(&self) -> String {
        let mut out = String::from("\n# Files: everything read-only but these\nProtectSystem=strict\n");
        let _ = writeln!(out, "ReadWritePaths={}", list(&self.writable(), ""));
        let folders = self.source_folders();
        if !folders.is_empty() {
            // A missing source is the run's error, not the service's.
            let _ = writeln!(out, "ReadOnlyPaths={}", list(&folders, "-"));
        }
        let all = self.everything();
        let under = |roots: &[&str]| {
            all.iter()
                .any(|path| roots.iter().any(|root| path.starts_with(root)))
        };
        if under(&HOMES) {
            out.push_str("# Something of the configuration is in a home.\nProtectHome=read-only\n");
        } else {
            out.push_str("ProtectHome=yes\n");
        }
        if under(&TEMPORARY) {
            out.push_str("# Something of the configuration is there.\nPrivateTmp=no\n");
        } else {
            out.push_str("PrivateTmp=yes\n");
        }
        out
    }

    /// The folders that the service writes to.
    fn writable(&self) -> BTreeSet<PathBuf> {
        let config = self.config;
        let api = config.api.as_ref();
        [config.backup_dir.as_path(), config.state_dir.as_path()]
            .into_iter()
            .chain(api.and_then(|api| api.restore_dir.as_deref()))
            .chain(self.log_folder())
            .map(Path::to_path_buf)
            .collect()
    }

    /// The folder of the log, since rotation renames the file in it.
    fn log_folder(&self) -> Option<&Path> {
        self.config.log.file.as_deref().and_then(Path::parent)
    }

    fn source_folders(&self) -> BTreeSet<PathBuf> {
        let folder = |origin: &Origin| match origin {
            Origin::Folder(path) => Some(path.clone()),
            // Their folders would be more than what is asked for; they are read-only anyway.
            Origin::Files(_) => None,
        };
        self.config
            .active_sources()
            .filter_map(|s| folder(&s.origin))
            .collect()
    }

    /// Everything that is read for a backup.
    fn sources(&self) -> BTreeSet<PathBuf> {
        let mut all = self.source_folders();
        for source in self.config.active_sources() {
            if let Origin::Files(files) = &source.origin {
                all.extend(files.iter().map(|file| file.path.clone()));
            }
        }
        for database in self.config.active_databases() {
            if let DatabaseEngine::Sqlite(path) = &database.engine {
                all.insert(path.clone());
            }
        }
        all
    }

    fn everything(&self) -> BTreeSet<PathBuf> {
        let mut all = self.writable();
        all.extend(self.sources());
        all.insert(self.config.dir.clone());
        all.insert(self.binary.to_path_buf());
        if let Some(api) = &self.config.api {
            all.extend(api.tls_cert.clone());
            all.extend(api.tls_key.clone());
            all.extend(api.jwt.as_ref().map(|jwt| jwt.key_file.clone()));
        }
        all
    }
}

/// What does not depend on the configuration.
const FIXED: &str = "\
# The compiled component, where the built-in one does not fit this processor.
CacheDirectory=cofre
CacheDirectoryMode=0700
Environment=XDG_CACHE_HOME=%C
PrivateDevices=yes
PrivateMounts=yes
# ProcSubset=pid would hide /proc/locks, where the metrics see whether a run holds the backups; PrivateUsers=yes
# would make every other owner `nobody` in the archives.
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes

# System calls
LockPersonality=yes
# MemoryDenyWriteExecute=yes is not possible: the sandbox's native code is written to memory and made executable
# when it is loaded, with and without a compiler.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
";

fn list(paths: &BTreeSet<PathBuf>, prefix: &str) -> String {
    let quoted: Vec<_> = paths.iter().map(|path| quote_with(prefix, path, false)).collect();
    quoted.join(" ")
}

fn quote(path: &Path, in_command: bool) -> String {
    quote_with("", path, in_command)
}

/// A path as one word of a unit file (systemd.syntax(7)): `%` begins a specifier everywhere, `$` a variable in a
/// command.
fn quote_with(prefix: &str, path: &Path, in_command: bool) -> String {
    let mut word = String::from(prefix);
    let mut plain = true;
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' => word.push_str("%%"),
            b'$' if in_command => word.push_str("$$"),
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'/'
            | b'.'
            | b'_'
            | b'-'
            | b'+'
            | b'='
            | b','
            | b'@' => {
                word.push(char::from(byte));
            }
            b' ' | b'$' | b'(' | b')' | b'&' | b':' | b'~' | b'#' => {
                plain = false;
                word.push(char::from(byte));
            }
            byte => {
                plain = false;
                let _ = write!(word, "\\x{byte:02x}");
            }
        }
    }
    if plain { word } else { format!("\"{word}\"") }
}

/// A text outside of a path: on its line, without specifiers.
fn escape_text(text: &str) -> String {
    crate::text::escape(text).replace('%', "%%").replace('\\', "\\\\")
}

#[cfg(test)]
mod tests;
