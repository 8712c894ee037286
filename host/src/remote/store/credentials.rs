//! Credentials from files: what nobody should write into cofre.toml.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::error::{Code, Error, Result};
use crate::text;

/// No file of credentials is larger than this.
const LARGEST: u64 = 1024 * 1024;

/// A key of S3. Has no `Debug`, so that no message can hold it by accident.
pub(super) struct Key {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
}

/// How Azure lets one in.
pub(super) enum AzureKey {
    /// The key of the account.
    Account(String),
    /// A signature for this container.
    Sas(String),
}

/// The key in a file of the format of AWS's own tools.
pub(super) fn aws(path: &Path, profile: &str) -> Result<Key> {
    let file = text::shown(path);
    let text = read(path)?;
    let section = section(&text, profile).ok_or_else(|| {
        Error::new(
            Code::Config,
            format!("{file}: there is no section [{}]", text::escape(profile)),
        )
        .remedy("name one of its sections with `profile`")
    })?;
    let value = |name: &str| {
        section
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    let must = |name: &str| {
        value(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            let section = text::escape(profile);
            Error::new(
                Code::Config,
                format!("{file}: `{name}` is missing in the section [{section}]"),
            )
        })
    };
    Ok(Key {
        id: must("aws_access_key_id")?,
        secret: must("aws_secret_access_key")?,
        token: value("aws_session_token").filter(|token| !token.is_empty()),
    })
}

/// Where AWS's own tools keep their credentials, if there is such a file.
pub(super) fn aws_default() -> Option<PathBuf> {
    let named = std::env::var_os("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".aws/credentials"));
    named.or_else(home).filter(|path| path.exists())
}

/// What a file for Azure holds: one line, `account_key = …` or `sas = …`.
pub(super) fn azure(path: &Path) -> Result<AzureKey> {
    let text = read(path)?;
    for (name, value) in lines(&text) {
        match &*name {
            "account_key" => return Ok(AzureKey::Account(value)),
            "sas" => return Ok(AzureKey::Sas(value.trim_start_matches('?').to_owned())),
            _ => {}
        }
    }
    let message = format!(
        "{}: neither `account_key = …` nor `sas = …` is in it",
        text::shown(path)
    );
    Err(Error::new(Code::Config, message))
}

/// Makes sure that a file can be read; what is in it is somebody else's matter.
pub(super) fn read(path: &Path) -> Result<String> {
    let what = || format!("read the credentials in {}", text::shown(path));
    let mut content = String::new();
    let file = std::fs::File::open(path).map_err(|error| {
        Error::io(what(), &error)
            .remedy("`credentials_file` of this remote has to name a file that cofre can read: put it there, or correct it")
    })?;
    file.take(LARGEST)
        .read_to_string(&mut content)
        .map_err(|error| Error::io(what(), &error))?;
    Ok(content)
}

/// The keys and values of one section, `None` if there is no such section.
fn section(text: &str, name: &str) -> Option<Vec<(String, String)>> {
    let mut at = None;
    let mut found: Option<String> = None;
    for line in text.lines() {
        let heading = line
            .trim()
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'));
        if let Some(heading) = heading {
            at = Some(heading.trim().trim_start_matches("profile ").trim().to_owned());
            if at.as_deref() == Some(name) {
                found.get_or_insert_default();
            }
        } else if at.as_deref() == Some(name)
            && let Some(found) = &mut found
        {
            found.push_str(line);
            found.push('\n');
        }
    }
    found.map(|text| lines(&text).collect())
}

/// `key = value` lines; comments and what is neither are left out.
fn lines(text: &str) -> impl Iterator<Item = (String, String)> {
    text.lines().filter_map(|line| {
        let line = line.trim();
        let (key, value) = line.split_once('=')?;
        (!line.starts_with(['#', ';'])).then(|| {
            let value = value.trim().trim_matches('"');
            (key.trim().to_ascii_lowercase(), value.to_owned())
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    fn file(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn a_profile_is_read_from_the_format_of_aws() {
        let file = file(
            "# mine\n[default]\naws_access_key_id=A\naws_secret_access_key = b/c+d==\n\n\
             [ offsite ]\n; other\nAWS_ACCESS_KEY_ID = B\naws_secret_access_key = s\naws_session_token = t=\n",
        );
        let key = aws(file.path(), "default").unwrap();
        assert_eq!((&*key.id, &*key.secret, key.token), ("A", "b/c+d==", None));
        let key = aws(file.path(), "offsite").unwrap();
        assert_eq!(
            (&*key.id, &*key.secret, key.token.as_deref()),
            ("B", "s", Some("t="))
        );
    }

    #[test]
    fn what_is_missing_is_named_and_no_secret_is() {
        let file = file("[half]\naws_secret_access_key = hush\n[empty]\n");
        for (profile, says) in [
            ("half", "`aws_access_key_id` is missing in the section [half]"),
            ("empty", "`aws_access_key_id` is missing"),
            ("none", "there is no section [none]"),
        ] {
            let error = aws(file.path(), profile).err().unwrap().to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
        let error = aws(Path::new("/nonexistent/keys"), "default").err().unwrap();
        assert!(error.to_string().contains("/nonexistent/keys"), "{error}");
        assert!(
            error
                .remedy
                .is_some_and(|remedy| remedy.contains("`credentials_file`"))
        );
    }

    #[test]
    fn azure_has_a_key_or_a_signature() {
        assert!(
            matches!(azure(file("account_key = abc==\n").path()), Ok(AzureKey::Account(key)) if key == "abc==")
        );
        let sas = azure(file("# now\nsas = \"?sv=1&sig=x%3D\"\n").path());
        assert!(matches!(sas, Ok(AzureKey::Sas(sas)) if sas == "sv=1&sig=x%3D"));
        let error = azure(file("key = hush\n").path()).err().unwrap().to_string();
        assert!(
            error.contains("`account_key = …`") && !error.contains("hush"),
            "{error}"
        );
    }
}
