//! Which tables a dump has the rows of.
//!
//! Definitions are always dumped, all of them: what is left out are rows, so that a restored database has every
//! table that its views, functions and keys name.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::{Code, Error, Result};
use crate::text::escape;

/// The lists `tables` and `exclude_tables` of one database, compiled.
#[derive(Debug, Clone, Default)]
pub struct TableFilter {
    /// One of these has to match; none means all.
    include: Option<GlobSet>,
    exclude: GlobSet,
}

impl TableFilter {
    /// Compiles globs. `*` matches dots and slashes too, since both may be in a table's name.
    ///
    /// # Errors
    /// `Config` for a text that is no glob.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self> {
        Ok(Self {
            include: match include {
                [] => None,
                globs => Some(compile(globs)?),
            },
            exclude: compile(exclude)?,
        })
    }

    /// Whether the rows of a table are dumped. `schema` is `None` where the engine has no schemas, or for
    /// PostgreSQL's `public`, whose tables match with and without `public.` before their names.
    #[must_use]
    pub fn has_rows_of(&self, schema: Option<&str>, table: &str) -> bool {
        let mut names = vec![format!("{}.{table}", schema.unwrap_or("public"))];
        if schema.is_none() {
            names.push(table.to_owned());
        }
        let any = |set: &GlobSet| names.iter().any(|name| set.is_match(name));
        self.include.as_ref().is_none_or(any) && !any(&self.exclude)
    }
}

/// What a table is called in the manifest, and its file after it: `table`, or `schema.table` where there is a schema
/// (for PostgreSQL one other than `public`). A name with a dot or a quote in it is written as SQL writes it, so that
/// no two tables have one label.
pub(crate) fn label(schema: Option<&str>, table: &str) -> String {
    let part = |name: &str| {
        if name.contains(['.', '"']) {
            format!("\"{}\"", name.replace('"', "\"\""))
        } else {
            name.to_owned()
        }
    };
    match schema {
        None => part(table),
        Some(schema) => format!("{}.{}", part(schema), part(table)),
    }
}

fn compile(globs: &[String]) -> Result<GlobSet> {
    let bad = |e: &globset::Error| {
        Error::new(
            Code::Config,
            format!("`{}` is not a pattern", escape(e.glob().unwrap_or_default())),
        )
    };
    let mut set = GlobSetBuilder::new();
    for text in globs {
        let glob = GlobBuilder::new(text).literal_separator(false).build();
        set.add(glob.map_err(|e| bad(&e))?);
    }
    set.build().map_err(|e| bad(&e))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> TableFilter {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        TableFilter::new(&owned(include), &owned(exclude)).unwrap()
    }

    #[test]
    fn without_lists_every_table_has_its_rows() {
        assert!(filter(&[], &[]).has_rows_of(None, "users"));
        assert!(TableFilter::default().has_rows_of(Some("audit"), "a.b/c"));
    }

    #[test]
    fn a_schema_is_part_of_the_name_except_public() {
        let some = filter(&["users", "audit.*", "public.log_*"], &["audit.tmp_*", "log_old"]);
        for (schema, table, wanted) in [
            (None, "users", true),
            (Some("other"), "users", false),
            (Some("audit"), "events", true),
            (Some("audit"), "a/b.c", true),
            (Some("audit"), "tmp_1", false),
            (None, "log_new", true),
            (None, "log_old", false),
            (None, "Users", false),
        ] {
            assert_eq!(some.has_rows_of(schema, table), wanted, "{schema:?}.{table}");
        }
    }

    #[test]
    fn no_two_tables_have_one_label() {
        for (schema, table, wanted) in [
            (None, "users", "users"),
            (Some("audit"), "events", "audit.events"),
            (None, "audit.events", "\"audit.events\""),
            (Some("a.b"), "c", "\"a.b\".c"),
            (Some("a"), "b.c", "a.\"b.c\""),
            (None, "\"a\"", "\"\"\"a\"\"\""),
        ] {
            assert_eq!(label(schema, table), wanted);
        }
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let error = TableFilter::new(&["a[".to_owned()], &[]).unwrap_err();
        assert!(
            error.code == Code::Config && error.message.contains("`a[`"),
            "{error}"
        );
    }
}
