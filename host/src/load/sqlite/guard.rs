//! What a statement out of an archive may do in SQLite: what dumps of cofre's need, and nothing else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// Modules of virtual tables whose content is all in the database.
const MODULES: [&str; 9] = [
    "fts3",
    "fts3tokenize",
    "fts4",
    "fts4aux",
    "fts5",
    "fts5vocab",
    "geopoly",
    "rtree",
    "rtree_i32",
];

/// Functions that do something beside giving a value, in whatever build of SQLite.
const FUNCTIONS: [&str; 8] = [
    "load_extension",
    "fts3_tokenizer",
    "readfile",
    "writefile",
    "edit",
    "fsdir",
    "lsmode",
    "sqlite_compileoption_get",
];

/// Judges every statement while it is compiled.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    trusting: AtomicBool,
    refused: Mutex<Option<String>>,
}

impl Guard {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Sets itself up on a connection.
    pub(super) fn watch(&self, db: &mut Connection) -> rusqlite::Result<()> {
        let inner = Arc::clone(&self.0);
        db.authorizer(Some(move |context: AuthContext<'_>| inner.judge(&context)))
    }

    /// Lets cofre's own statements through.
    pub(super) fn trust(&self, own: bool) {
        self.0.trusting.store(own, Ordering::SeqCst);
    }

    /// What was refused first, as `does X`.
    pub(super) fn refused(&self) -> Option<String> {
        self.0
            .refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Inner {
    fn judge(&self, context: &AuthContext<'_>) -> Authorization {
        if self.trusting.load(Ordering::SeqCst) {
            return Authorization::Allow;
        }
        let what = match forbidden(context) {
            None => return Authorization::Allow,
            Some(what) => what,
        };
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(what);
        Authorization::Deny
    }
}

/// What is wrong with an action; none for what may be.
fn forbidden(context: &AuthContext<'_>) -> Option<String> {
    use AuthAction as A;
    if context
        .database_name
        .is_some_and(|name| name != "main" && name != "temp")
    {
        return Some("reaches another database".to_owned());
    }
    let what = match context.action {
        A::Select
        | A::Read { .. }
        | A::Insert { .. }
        | A::Update { .. }
        | A::Delete { .. }
        | A::CreateTable { .. }
        | A::CreateIndex { .. }
        | A::CreateView { .. }
        | A::CreateTrigger { .. }
        // The counter that `sqlite_sequence` is made with.
        | A::DropTable { table_name: "cofre_counter" }
        // The indexes of what is made.
        | A::Reindex { .. }
        | A::Analyze { .. }
        | A::Recursive => return None,
        A::CreateVtable { module_name, .. } if is_one_of(&MODULES, module_name) => return None,
        A::CreateVtable { module_name, .. } => format!("makes a table of the module {}", super::Shown(module_name)),
        A::Function { function_name } if !is_one_of(&FUNCTIONS, function_name) => return None,
        A::Function { function_name } => format!("calls {}()", super::Shown(function_name)),
        // The modules themselves ask for these two while they work.
        A::Pragma { pragma_name: "data_version" | "page_size", pragma_value: None } => return None,
        A::Pragma { pragma_name, .. } => format!("sets or asks PRAGMA {}", super::Shown(pragma_name)),
        A::Attach { .. } => "attaches another database".to_owned(),
        A::Detach { .. } => "detaches a database".to_owned(),
        A::Transaction { .. } | A::Savepoint { .. } => "controls the transaction".to_owned(),
        A::CreateTempTable { .. } | A::CreateTempIndex { .. } | A::CreateTempTrigger { .. } | A::CreateTempView { .. } => {
            "makes something temporary".to_owned()
        }
        A::AlterTable { .. } => "alters a table".to_owned(),
        _ => "drops something, or does what this version does not know".to_owned(),
    };
    Some(what)
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}
