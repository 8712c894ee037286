//! `restore.sql`: everything in the right order, in nothing but a few fixed commands of `psql`.

use std::io::Write as _;
use std::path::Path;

use cofre_exporter::component::types::TableInfo;

use super::catalog::Facts;
use super::files::{self, BLOBS, EVENT_TRIGGERS, Files, GRANTS, POST_DATA, PRE_DATA, RESTORE, SEQUENCES};
use super::structure::Scripts;
use crate::error::Result;

pub(super) fn write(folder: &Path, facts: &Facts, scripts: Scripts, tables: &[TableInfo]) -> Result<()> {
    let mut text = format!(
        "-- Loads this database, in this folder:\n\
         --   createdb --template=template0 --encoding={} NEW\n\
         --   psql -X -q -1 -o /dev/null -f restore.sql NEW\n\
         -- The original: PostgreSQL {}, collation {}, character type {}.\n\
         \\set ON_ERROR_STOP on\n\\ir {PRE_DATA}\n",
        comment(&facts.encoding),
        comment(&facts.version),
        comment(&facts.collate),
        comment(&facts.ctype),
    );
    // No name of a file holds a quote or a backslash.
    let include = |text: &mut String, file: &str| text.push_str(&format!("\\ir '{file}'\n"));
    for file in Files::names(tables) {
        include(&mut text, file);
    }
    for file in [BLOBS, SEQUENCES] {
        if folder.join(file).exists() {
            include(&mut text, file);
        }
    }
    include(&mut text, POST_DATA);
    if scripts.grants {
        text.push_str(&format!(
            "-- A privilege of a role that is missing here, or that you may not grant, is skipped with a message.\n\
             \\set ON_ERROR_ROLLBACK on\n\\set ON_ERROR_STOP off\n\\ir {GRANTS}\n\
             \\set ON_ERROR_STOP on\n\\set ON_ERROR_ROLLBACK off\n"
        ));
    }
    if scripts.event_triggers {
        text.push_str("-- Only a superuser may make these.\n");
        include(&mut text, EVENT_TRIGGERS);
    }
    files::create(folder, RESTORE)?
        .write_all(text.as_bytes())
        .map_err(|e| files::write_error(RESTORE, &e))
}

/// A text that stays on its line.
fn comment(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
