//! Reading a TOML document key by key while collecting every problem, where `serde` would stop at the first.
//!
//! A [`Section`] notes which keys it was asked for; what is left over is unknown, and the nearest of the asked
//! ones is the suggestion. So the list of keys can't get out of step with the code that reads them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, with dots: `sources.static.path`. Empty where the file itself is not TOML.
    pub key: String,
    /// Line in the file, from 1; none where it is about something that is not there.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub suggestion: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("  ")?;
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", crate::text::escape(&self.key))?;
        }
        f.write_str(&crate::text::escape(&self.message))?;
        match &self.suggestion {
            Some(text) => write!(f, "; {}", crate::text::escape(text)),
            None => Ok(()),
        }
    }
}

/// A parsed file and what is wrong with it.
pub(super) struct Document<'a> {
    text: &'a str,
    root: DeTable<'a>,
    problems: RefCell<Vec<Problem>>,
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Document<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let doc = Self {
            text,
            root: root.into_inner(),
            problems: RefCell::default(),
            asked: RefCell::default(),
        };
        for error in errors {
            let line = error.span().map(|span| doc.line(span.start));
            // The parser's messages may span lines; the first says what is wrong.
            let mut message = error.message().replace('\n', ", ");
            // "duplicate key" alone does not say which one. Nothing else is quoted: a value whose quotes were
            // forgotten may be a URL with its password.
            if message.starts_with("duplicate key")
                && let Some(key) = error.span().and_then(|span| text.get(span))
            {
                message = format!("`{}`: {message}", crate::text::escape(key));
            }
            doc.push(Problem {
                key: String::new(),
                line,
                message,
                suggestion: None,
            });
        }
        doc
    }

    pub(super) fn root(&self) -> Section<'_> {
        Section {
            doc: self,
            table: &self.root,
            path: String::new(),
            pattern: String::new(),
            asked: RefCell::default(),
            line: None,
        }
    }

    pub(super) fn push(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// A problem that is not about one value.
    pub(super) fn problem(&self, key: &str, message: impl Into<String>, suggestion: Option<String>) {
        self.push(Problem {
            key: key.into(),
            line: None,
            message: message.into(),
            suggestion,
        });
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|p| p.line.unwrap_or(usize::MAX));
        problems
    }

    /// Every key that was asked for, names replaced by `NAME`.
    #[cfg(test)]
    pub(super) fn asked(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }

    fn line(&self, at: usize) -> usize {
        1 + self
            .text
            .as_bytes()
            .iter()
            .take(at)
            .filter(|b| **b == b'\n')
            .count()
    }
}

/// One table of the document.
pub(super) struct Section<'a> {
    pub(super) doc: &'a Document<'a>,
    table: &'a DeTable<'a>,
    /// Where it is: `sources.static`.
    pub(super) path: String,
    /// The same with `NAME` for what the user chose.
    pattern: String,
    asked: RefCell<Vec<&'static str>>,
    line: Option<usize>,
}

impl<'a> Section<'a> {
    fn value(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().push(key);
        self.table.get(key)
    }

    fn leaf(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.doc.asked.borrow_mut().insert(join(&self.pattern, key));
        self.value(key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Reports a problem with one key's value.
    pub(super) fn problem(&self, key: &str, message: impl Into<String>, suggestion: Option<String>) {
        let line = match self.table.get(key) {
            Some(value) => Some(self.doc.line(value.span().start)),
            None => self.line,
        };
        self.doc.push(Problem {
            key: join(&self.path, key),
            line,
            message: message.into(),
            suggestion,
        });
    }

    fn wrong_type(&self, key: &str, wanted: &str, found: &DeValue<'_>) {
        self.problem(
            key,
            format!("has to be {wanted}, and is {}", article(found.type_str())),
            None,
        );
    }

    pub(super) fn string(&self, key: &'static str) -> Option<String> {
        match self.leaf(key)?.get_ref() {
            DeValue::String(text) => Some(text.clone().into_owned()),
            other => {
                self.wrong_type(key, "a string in quotes", other);
                None
            }
        }
    }

    /// A string that `parse` understands; its `Err` is message and suggestion.
    pub(super) fn parsed<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, (String, Option<String>)>,
    ) -> Option<T> {
        let text = self.string(key)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err((message, suggestion)) => {
                self.problem(key, message, suggestion);
                None
            }
        }
    }

    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        match self.leaf(key)?.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            other => {
                self.wrong_type(key, "true or false (without quotes)", other);
                None
            }
        }
    }

    pub(super) fn integer(&self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        match self.leaf(key)?.get_ref() {
            DeValue::Integer(number) => {
                let value = i64::from_str_radix(number.as_str(), number.radix()).ok();
                let value = value.filter(|n| range.contains(n));
                if value.is_none() {
                    self.problem(
                        key,
                        format!("has to be {wanted}, and is {}", number.as_str()),
                        None,
                    );
                }
                value
            }
            other => {
                self.wrong_type(key, &wanted, other);
                None
            }
        }
    }

    pub(super) fn strings(&self, key: &'static str) -> Option<Vec<String>> {
        let wanted = "a list of strings, such as [\"a\", \"b\"]";
        let DeValue::Array(items) = self.leaf(key)?.get_ref() else {
            if let Some(value) = self.table.get(key) {
                self.wrong_type(key, wanted, value.get_ref());
            }
            return None;
        };
        let mut texts = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::String(text) => texts.push(text.clone().into_owned()),
                other => {
                    self.wrong_type(key, wanted, other);
                    return None;
                }
            }
        }
        Some(texts)
    }

    /// The table `[key]`, if it is there.
    pub(super) fn section(&self, key: &'static str) -> Option<Section<'a>> {
        let value = self.value(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type(
                key,
                &format!("a table, `[{}]`", join(&self.path, key)),
                value.get_ref(),
            );
            return None;
        };
        Some(self.child(key, key, table, value.span().start))
    }

    /// The tables `[key.NAME]`, by name.
    pub(super) fn named(&self, key: &'static str) -> Vec<(String, Section<'a>)> {
        let Some(outer) = self.section(key) else {
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (name, value) in outer.table.iter() {
            let name: &str = name.get_ref();
            match value.get_ref() {
                DeValue::Table(table) => {
                    let section = outer.child(name, "NAME", table, value.span().start);
                    sections.push((name.to_owned(), section));
                }
                other => outer.wrong_type(name, &format!("a table, `[{key}.{name}]`"), other),
            }
        }
        sections
    }

    /// The tables `[[key]]`.
    pub(super) fn list(&self, key: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let wanted = format!("a list of tables, `[[{}]]`", join(&self.path, key));
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(key, &wanted, value.get_ref());
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (i, item) in items.iter().enumerate() {
            match item.get_ref() {
                DeValue::Table(table) => {
                    sections.push(self.child(&format!("{key}[{i}]"), key, table, item.span().start));
                }
                other => self.wrong_type(key, &wanted, other),
            }
        }
        sections
    }

    fn child(&self, key: &str, pattern: &str, table: &'a DeTable<'a>, at: usize) -> Section<'a> {
        Section {
            doc: self.doc,
            table,
            path: join(&self.path, if key.is_empty() { "''" } else { key }),
            pattern: join(&self.pattern, pattern),
            asked: RefCell::default(),
            line: Some(self.doc.line(at)),
        }
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table.iter() {
            let name: &str = key.get_ref();
            if asked.contains(&name) {
                continue;
            }
            let suggestion = nearest(name, asked.iter().copied())
                .map(|near| format!("did you mean `{near}`?"))
                .or_else(|| keys::home_of(name).map(|home| format!("it belongs to `[{home}]`")))
                .or_else(|| {
                    let mut known: Vec<_> = asked.iter().copied().collect();
                    known.sort_unstable();
                    known.dedup();
                    Some(format!("known here: {}", known.join(", ")))
                });
            self.doc.push(Problem {
                key: join(&self.path, name),
                line: Some(self.doc.line(key.span().start)),
                message: "unknown key".into(),
                suggestion,
            });
        }
    }
}

/// The candidate that `word` was probably meant to be.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase().replace('-', "_");
    candidates
        .map(|c| (strsim::jaro_winkler(&lower, &c.to_lowercase()), c))
        .filter(|(score, _)| *score > 0.82)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| c)
}

/// An empty key stands for the table itself.
fn join(path: &str, key: &str) -> String {
    match (path.is_empty(), key.is_empty()) {
        (_, true) => path.to_owned(),
        (true, false) => key.to_owned(),
        (false, false) => format!("{path}.{key}"),
    }
}

fn article(kind: &str) -> String {
    let an = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if an { "an" } else { "a" })
}
