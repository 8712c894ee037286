//! Include and exclude globs of one source. What a source contains is `scan`'s business.
//!
//! Globs are `globset`'s, relative to the source's root, and `*` stops at `/`. `cache/` is a folder with all that
//! is in it, as in other tools, and so is a name without any wildcard.

use globset::{GlobBuilder, GlobSet};

use crate::error::{Error, ErrorKind, Result};

/// The compiled globs of one source.
#[derive(Debug)]
pub struct Filter {
    include: GlobSet,
    exclude: GlobSet,
    /// The folder asked about last and its verdict: neighbours come one after another.
    last: (String, bool),
}

/// Compiles `patterns`; `what` names the list in an error. `with_content` adds what lies below the folders that
/// are named as such (`css/`, `img`).
///
/// # Errors
/// `InvalidInput` naming the pattern.
fn compile(patterns: &[String], what: &str, with_content: bool) -> Result<GlobSet> {
    let bad = |pattern: &str, message: String| {
        Error::new(ErrorKind::InvalidInput, format!("read {what} glob"), message).about(pattern)
    };
    let mut set = GlobSet::builder();
    for pattern in patterns {
        let relative = pattern.strip_prefix("./").unwrap_or(pattern);
        let relative = relative.strip_suffix('/').unwrap_or(relative);
        if relative.is_empty() || relative.starts_with('/') || relative.split('/').any(|c| c == "..") {
            return Err(bad(pattern, "the glob can never match".to_owned())
                .remedy("write it relative to the source's root, as in `cache/**`"));
        }
        let glob = |text: &str| {
            GlobBuilder::new(text)
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map_err(|e| bad(pattern, e.kind().to_string()))
        };
        set.add(glob(relative)?);
        if with_content && (pattern.ends_with('/') || !relative.contains(['*', '?', '[', '{'])) {
            set.add(glob(&format!("{relative}/**"))?);
        }
    }
    set.build()
        .map_err(|e| bad(&patterns.join(", "), e.kind().to_string()))
}

impl Filter {
    /// Compiles the globs of one source.
    ///
    /// # Errors
    /// `InvalidInput` naming the glob that can't be read.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self> {
        Ok(Self {
            include: compile(include, "include", true)?,
            exclude: compile(exclude, "exclude", false)?,
            last: (String::new(), false),
        })
    }

    /// Whether `path` or a folder above it is excluded. The source's root (an empty path) never is.
    pub fn excluded(&mut self, path: &str) -> bool {
        if self.exclude.is_empty() || path.is_empty() {
            return false;
        }
        self.folder_excluded(parent(path)) || self.exclude.is_match(path)
    }

    fn folder_excluded(&mut self, folder: &str) -> bool {
        if folder.is_empty() {
            return false;
        }
        if self.last.0 != folder {
            let verdict = ancestors(folder).any(|f| self.exclude.is_match(f));
            self.last.0.clear();
            self.last.0.push_str(folder);
            self.last.1 = verdict;
        }
        self.last.1
    }

    /// Whether there are include globs at all.
    #[must_use]
    pub fn selects(&self) -> bool {
        !self.include.is_empty()
    }

    /// Whether an include glob matches `path` (everything matches where there is none).
    #[must_use]
    pub fn included(&self, path: &str) -> bool {
        self.include.is_empty() || self.include.is_match(path)
    }
}

/// The folder of `path`; empty for what lies in the root.
pub(crate) fn parent(path: &str) -> &str {
    path.rfind('/').map_or("", |at| &path[..at])
}

/// `path` and every folder above it.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/')
        .map(|(at, _)| &path[..at])
        .chain(std::iter::once(path))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> Filter {
        let own = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        Filter::new(&own(include), &own(exclude)).unwrap()
    }

    #[test]
    fn an_excluded_folder_takes_everything_below_it_along() {
        let mut f = filter(&[], &["cache/", "**/node_modules", "a/*.tmp"]);
        for gone in [
            "cache",
            "cache/x/y",
            "web/node_modules/z.js",
            "node_modules",
            "a/b.tmp",
        ] {
            assert!(f.excluded(gone), "{gone}");
        }
        for kept in ["", "cached", "a/b/c.tmp", "a", "x/cache", "b.tmp"] {
            assert!(!f.excluded(kept), "{kept}");
        }
    }

    #[test]
    fn a_star_stops_at_a_slash_in_includes_too() {
        let f = filter(&["*.css", "img/**"], &[]);
        assert!(f.selects() && f.included("a.css") && f.included("img/x/y.png"));
        assert!(!f.included("css/a.css"));
        assert!(filter(&[], &[]).included("anything"));
    }

    #[test]
    fn an_included_folder_takes_its_content_along_and_a_star_does_not() {
        let f = filter(&["img", "css*/", "a.txt"], &[]);
        for kept in ["img", "img/x/y.png", "css2/deep/a.css", "a.txt"] {
            assert!(f.included(kept), "{kept}");
        }
        for gone in ["imgs", "x/img", "b.txt"] {
            assert!(!f.included(gone), "{gone}");
        }
        let top = filter(&["*"], &[]);
        assert!(top.included("a") && !top.included("a/b"));
    }

    #[test]
    fn a_glob_that_cannot_work_is_refused_by_name() {
        for bad in ["[a", "/etc/passwd", "../x", "", "a/../b", "{a"] {
            let e = Filter::new(&[], &[bad.to_owned()]).unwrap_err();
            assert_eq!(e.kind, ErrorKind::InvalidInput, "{bad}");
            assert_eq!(e.subject.as_deref(), Some(bad));
        }
    }
}
