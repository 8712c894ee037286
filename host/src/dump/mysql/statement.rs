//! What a statement of the dump is, and what is changed in it so that it loads into a database of any name, for a
//! user without special rights.

use std::ops::Range;

/// Where a statement belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere: a setting that `restore.sql` and each file make by themselves, a lock.
    Nowhere,
    /// Before the rows: this table is made.
    Table(String),
    /// Before the rows: a sequence is made or set.
    Sequence,
    /// With the rows of the table at hand: how its history is loaded.
    History,
    /// After the rows: views, triggers, routines, and the settings under which they were made.
    After,
    /// After the rows: this view is made, in this and the next statements.
    View(String),
    /// The events begin here, and end there.
    EventsBegin,
    /// See [`Place::EventsBegin`].
    EventsEnd,
}

/// Says where a statement belongs; `None` for one that no dump program was seen to write.
pub(super) fn place(statement: &[u8]) -> Option<Place> {
    let mut tokens = Tokens::new(statement);
    let Some(Token::Word(first)) = tokens.next().map(|t| t.token) else {
        return tokens.text.trim_ascii().is_empty().then_some(Place::Nowhere);
    };
    let word = |tokens: &mut Tokens<'_>| match tokens.next().map(|t| t.token) {
        Some(Token::Word(word)) => word.to_ascii_uppercase(),
        _ => Vec::new(),
    };
    Some(match first.to_ascii_uppercase().as_slice() {
        b"SET" => set(statement),
        b"CREATE" => return create(tokens),
        // SETVAL of a sequence, in older versions as a SELECT.
        b"DO" | b"SELECT" if word(&mut tokens) == b"SETVAL" => Place::Sequence,
        // Of what stood in for the view; in older versions that was a table.
        b"DROP" if version(statement) == Some(50001) => Place::View(names(statement).next()?),
        b"ALTER" => match word(&mut tokens).as_slice() {
            b"DATABASE" => Place::After,
            // DISABLE KEYS and ENABLE KEYS.
            _ if version(statement) == Some(40000) => Place::Nowhere,
            _ => return None,
        },
        b"LOCK" | b"UNLOCK" | b"COMMIT" | b"ANALYZE" => Place::Nowhere,
        _ => return None,
    })
}

fn set(statement: &[u8]) -> Place {
    let text = String::from_utf8_lossy(statement).to_ascii_lowercase();
    if text.contains("system_versioning_insert_history") {
        return Place::History;
    }
    match version(statement) {
        Some(50106) if text.contains("@save_time_zone=") => Place::EventsBegin,
        Some(50106) if text.contains("@save_time_zone") => Place::EventsEnd,
        Some(50001 | 50003 | 50106) => Place::After,
        _ => Place::Nowhere,
    }
}

fn create(mut tokens: Tokens<'_>) -> Option<Place> {
    while let Some(Spanned { token, .. }) = tokens.next() {
        let Token::Word(word) = token else { continue };
        match word.to_ascii_uppercase().as_slice() {
            b"TABLE" => return quoted_names(tokens).next().map(Place::Table),
            b"SEQUENCE" => return Some(Place::Sequence),
            b"VIEW" | b"TRIGGER" | b"FUNCTION" | b"PROCEDURE" | b"PACKAGE" | b"EVENT" => {
                return Some(Place::After);
            }
            b"DEFINER" => {
                tokens.user();
            }
            _ => {}
        }
    }
    None
}

/// Whether a statement makes a trigger, a routine, a package or an event, in whose body other statements stand.
pub(super) fn is_program(statement: &[u8]) -> bool {
    let mut tokens = Tokens::new(statement);
    if !tokens.next().is_some_and(|t| t.token.is_word(b"CREATE")) {
        return false;
    }
    while let Some(Token::Word(word)) = tokens.next().map(|t| t.token) {
        match word.to_ascii_uppercase().as_slice() {
            b"TRIGGER" | b"FUNCTION" | b"PROCEDURE" | b"PACKAGE" | b"EVENT" => return true,
            b"OR" | b"REPLACE" | b"AGGREGATE" => {}
            b"DEFINER" if tokens.user().is_some() => {}
            _ => return false,
        }
    }
    false
}

/// The names in backticks.
pub(super) fn names(statement: &[u8]) -> impl Iterator<Item = String> {
    quoted_names(Tokens::new(statement))
}

fn quoted_names(tokens: Tokens<'_>) -> impl Iterator<Item = String> {
    tokens.filter_map(|t| match t.token {
        Token::Quoted(name) => String::from_utf8(unquote(name)?.0).ok(),
        _ => None,
    })
}

/// A CREATE without its `DEFINER = user`, so that the one who restores owns what is made: to name another takes
/// rights that few have, and the other may not exist. The second value is what was taken out.
pub(super) fn without_definer(statement: &[u8]) -> (Vec<u8>, Option<String>) {
    match definer(statement) {
        Some(range) => {
            let definer = String::from_utf8_lossy(&statement[range.clone()]).into_owned();
            (without(statement, &[range]), Some(definer))
        }
        None => (statement.to_vec(), None),
    }
}

fn definer(statement: &[u8]) -> Option<Range<usize>> {
    let mut tokens = Tokens::new(statement);
    let first = tokens.next()?;
    if !first.token.is_word(b"CREATE") {
        return None;
    }
    while let Some(Spanned { token, range }) = tokens.next() {
        let Token::Word(word) = token else { continue };
        match word.to_ascii_uppercase().as_slice() {
            b"DEFINER" if let Some(end) = tokens.user() => return Some(range.start..end),
            b"VIEW" | b"TRIGGER" | b"FUNCTION" | b"PROCEDURE" | b"PACKAGE" | b"EVENT" => return None,
            _ => {}
        }
    }
    None
}

/// `ALTER DATABASE name ...` without the name: the database at hand, whatever it is called.
pub(super) fn without_database(statement: &[u8]) -> Vec<u8> {
    let mut tokens = Tokens::new(statement);
    let starts = |token: Option<Spanned<'_>>, word| token.is_some_and(|t| t.token.is_word(word));
    if starts(tokens.next(), b"ALTER")
        && starts(tokens.next(), b"DATABASE")
        && let Some(Spanned {
            token: Token::Quoted(_),
            range,
        }) = tokens.next()
    {
        return without(statement, &[range]);
    }
    statement.to_vec()
}

/// A CREATE TABLE in which the sequences of columns' defaults are not those of `database` by name, as MariaDB
/// writes them, but those of the database at hand.
pub(super) fn without_qualifiers(statement: &[u8], database: &str) -> Vec<u8> {
    let mut found = Vec::new();
    let mut tokens = Tokens::new(statement).peekable();
    while let Some(Spanned { token, .. }) = tokens.next() {
        let sequence = [&b"NEXTVAL"[..], b"LASTVAL", b"SETVAL"]
            .iter()
            .any(|word| token.is_word(word));
        if !sequence || tokens.next().is_none_or(|t| t.token != Token::Sign(b'(')) {
            continue;
        }
        let Some(Spanned {
            token: Token::Quoted(name),
            range,
        }) = tokens.next()
        else {
            continue;
        };
        let ours = unquote(name).is_some_and(|(name, _)| name == database.as_bytes());
        if ours && let Some(dot) = tokens.next_if(|t| t.token == Token::Sign(b'.')) {
            found.push(range.start..dot.range.end);
        }
    }
    without(statement, &found)
}

/// Whether a backslash escapes after this statement, if it sets the SQL mode.
pub(super) fn backslash_escapes(statement: &[u8]) -> Option<bool> {
    let mut tokens = Tokens::new(statement);
    if !tokens.next()?.token.is_word(b"SET") {
        return None;
    }
    let text = String::from_utf8_lossy(statement).to_ascii_uppercase();
    text.contains("SQL_MODE")
        .then(|| !text.contains("NO_BACKSLASH_ESCAPES"))
}

/// A name in backticks at the beginning: what it stands for, and its length with the quotes.
pub(super) fn unquote(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut rest = bytes.strip_prefix(b"`")?;
    let mut name = Vec::new();
    loop {
        let quote = rest.iter().position(|c| *c == b'`')?;
        name.extend_from_slice(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.strip_prefix(b"`") {
            Some(more) => {
                name.push(b'`');
                rest = more;
            }
            None => return Some((name, bytes.len() - rest.len())),
        }
    }
}

/// The number of the version from which a statement in a conditional comment is executed.
fn version(statement: &[u8]) -> Option<u32> {
    let statement = statement.trim_ascii_start();
    let rest = statement
        .strip_prefix(b"/*!")
        .or_else(|| statement.strip_prefix(b"/*M!"))?;
    let digits = rest.iter().take_while(|c| c.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

fn without(statement: &[u8], ranges: &[Range<usize>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(statement.len());
    let mut at = 0;
    for range in ranges {
        out.extend_from_slice(&statement[at..range.start]);
        at = range.end;
    }
    out.extend_from_slice(&statement[at..]);
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a [u8]),
    /// A name in backticks, with them.
    Quoted(&'a [u8]),
    /// A text in other quotes.
    Text,
    Sign(u8),
}

impl Token<'_> {
    fn is_word(self, word: &[u8]) -> bool {
        matches!(self, Self::Word(w) if w.eq_ignore_ascii_case(word))
    }
}

struct Spanned<'a> {
    token: Token<'a>,
    range: Range<usize>,
}

/// The tokens of a statement. Comments are none, and neither are the marks of conditional ones (`/*!50003`, `*/`).
struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let skip = if let Some(c) = rest.first()
                && c.is_ascii_whitespace()
            {
                1
            } else if rest.starts_with(b"*/") {
                2
            } else if rest.starts_with(b"/*!") || rest.starts_with(b"/*M!") {
                let mark = rest.iter().position(|c| *c == b'!').unwrap_or(2) + 1;
                mark + rest[mark..].iter().take_while(|c| c.is_ascii_digit()).count()
            } else if rest.starts_with(b"/*") {
                rest.windows(2)
                    .position(|w| w == b"*/")
                    .map_or(rest.len(), |end| end + 2)
            } else if rest.starts_with(b"-- ") || rest.starts_with(b"#") {
                rest.iter()
                    .position(|c| *c == b'\n')
                    .map_or(rest.len(), |end| end + 1)
            } else {
                return;
            };
            self.at += skip;
        }
    }

    /// Behind the word DEFINER: `= user@host`, where it ends; none behind that of `SQL SECURITY DEFINER`.
    fn user(&mut self) -> Option<usize> {
        let at = self.at;
        if self.next()?.token != Token::Sign(b'=') {
            self.at = at;
            return None;
        }
        let mut end = self.next()?.range.end;
        if self.rest().starts_with(b"@") {
            self.next();
            end = self.next()?.range.end;
        }
        Some(end)
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Spanned<'a>;

    fn next(&mut self) -> Option<Spanned<'a>> {
        self.skip_blank();
        let rest = self.rest();
        let is_word = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'$') || !c.is_ascii();
        let (token, length) = match rest.first()? {
            b'`' => {
                let length = unquote(rest).map_or(rest.len(), |(_, length)| length);
                (Token::Quoted(&rest[..length]), length)
            }
            quote @ (b'\'' | b'"') => (Token::Text, text_length(rest, *quote)),
            c if is_word(c) => {
                let length = rest.iter().take_while(|c| is_word(c)).count();
                (Token::Word(&rest[..length]), length)
            }
            c => (Token::Sign(*c), 1),
        };
        let start = self.at;
        self.at += length;
        Some(Spanned {
            token,
            range: start..self.at,
        })
    }
}

/// Bytes of a text with its quotes.
fn text_length(bytes: &[u8], quote: u8) -> usize {
    let mut i = 1;
    while let Some(c) = bytes.get(i) {
        i += 1;
        match c {
            b'\\' => i += 1,
            c if *c == quote => break,
            _ => {}
        }
    }
    i.min(bytes.len())
}

#[cfg(test)]
mod tests;
