//! A configuration without a file: `cofre create --static DIR --files NAME=DIR --sqlite FILE --to DIR`.

use std::path::{Path, PathBuf};

use super::{Config, value};
use crate::error::{Code, Error, Result};

/// What the options name, relative to the current folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdHoc {
    /// `--static`.
    pub static_dir: Option<PathBuf>,
    /// `--files NAME=DIR`.
    pub files: Vec<(String, PathBuf)>,
    /// `--sqlite`.
    pub sqlite: Vec<PathBuf>,
    /// `--to`.
    pub to: PathBuf,
}

impl Config {
    /// The configuration that the options amount to, checked by the same rules as a file.
    ///
    /// # Errors
    /// [`Code::Usage`] with everything that is wrong.
    pub fn adhoc(options: &AdHoc) -> Result<Self> {
        let dir = std::env::current_dir().map_err(|e| Error::io("find the current folder", &e))?;
        let mut root = toml::Table::new();
        let mut sources = toml::Table::new();
        let folders = options.static_dir.iter().map(|d| ("static", d));
        let named = options.files.iter().map(|(name, d)| (name.as_str(), d));
        for (name, path) in folders.chain(named) {
            let table = toml::Table::from_iter([("path".to_owned(), text(path)?.into())]);
            if sources.insert(name.to_owned(), table.into()).is_some() {
                return Err(usage(format!(
                    "two sources are called `{}`",
                    crate::text::escape(name)
                )));
            }
        }
        let mut databases = toml::Table::new();
        for path in &options.sqlite {
            let name = database_name(path);
            let url = format!("sqlite:{}", text(path)?);
            let table = toml::Table::from_iter([("url".to_owned(), url.into())]);
            if databases.insert(name.clone(), table.into()).is_some() {
                return Err(usage(format!(
                    "two databases are called `{}`",
                    crate::text::escape(&name)
                ))
                .remedy("a configuration gives them names: `cofre init`"));
            }
        }
        root.insert("sources".into(), sources.into());
        root.insert("databases".into(), databases.into());
        root.insert("backup_dir".into(), text(&options.to)?.into());
        root.insert(
            "state_dir".into(),
            text(&state_dir(&dir.join(&options.to))?)?.into(),
        );
        let document = root.to_string();
        let mut config = Self::parse(&document, &dir).map_err(|mut problems| {
            // Lines of a document that nobody wrote would only confuse.
            problems.0.iter_mut().for_each(|p| p.line = None);
            usage(format!("these options can't be used:\n{problems}"))
        })?;
        config.repository = value::folder_name(&config.repository)
            .map_or_else(|_| "backups".to_owned(), |()| config.repository.clone());
        Ok(config)
    }
}

fn usage(message: String) -> Error {
    Error::new(Code::Usage, message)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        usage(format!("`{}` is not UTF-8", crate::text::shown(path))).remedy("name its parent folder")
    })
}

fn database_name(path: &Path) -> String {
    path.file_stem()
        .map_or_else(|| "app".into(), |stem| stem.to_string_lossy().into_owned())
}

/// A private folder for staging that belongs to this backups folder, outside of it: the user's state folder.
fn state_dir(backups: &Path) -> Result<PathBuf> {
    let home = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
        .or_else(|| {
            std::env::var_os("HOME")
                .map(PathBuf::from)
                .filter(|p| p.is_absolute())
                .map(|h| h.join(".local/state"))
        });
    let Some(home) = home else {
        return Err(Error::new(Code::Usage, "there is no home folder to work in")
            .remedy("set XDG_STATE_HOME, or use a configuration with state_dir"));
    };
    use sha2::Digest as _;
    let real = super::paths::real(backups);
    let digest = sha2::Sha256::digest(real.as_os_str().as_encoded_bytes());
    let mut short = crate::text::hex(&digest);
    short.truncate(16);
    Ok(home.join("cofre").join(short))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::{AdHoc, Config};
    use crate::config::DatabaseEngine;
    use crate::error::Code;

    fn options() -> AdHoc {
        AdHoc {
            static_dir: Some("static".into()),
            files: vec![("up \"x\"".into(), "/srv/up".into())],
            sqlite: vec!["data/app.db".into()],
            to: "/mnt/backups".into(),
        }
    }

    #[test]
    fn options_amount_to_a_configuration() {
        let config = Config::adhoc(&options()).unwrap();
        let names: Vec<_> = config.sources.iter().map(|s| s.folder.as_str()).collect();
        assert_eq!(names, ["static", "up \"x\""]);
        assert_eq!(config.databases[0].name, "app");
        let here = std::env::current_dir().unwrap();
        assert_eq!(
            config.databases[0].engine,
            DatabaseEngine::Sqlite(here.join("data/app.db"))
        );
        assert!(!config.state_dir.starts_with(&config.backup_dir));
    }

    #[test]
    fn two_sources_of_one_name_are_refused() {
        let mut options = options();
        options.files.push(("static".into(), "/srv/other".into()));
        let error = Config::adhoc(&options).unwrap_err();
        assert!(
            error.code == Code::Usage && error.message.contains("`static`"),
            "{error}"
        );
    }

    #[test]
    fn a_source_inside_the_target_is_refused_without_a_line_number() {
        let mut options = options();
        options.files[0].1 = "/mnt/backups/x".into();
        let error = Config::adhoc(&options).unwrap_err();
        assert!(
            error.message.contains("inside it") && !error.message.contains("line "),
            "{error}"
        );
    }
}
