//! `cofre key new`: the keys of copies off the machine, as two files for two places. No secret is printed.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::args::{KeyArgs, KeyCommand, NewKey};
use super::{App, Ended};
use crate::crypt;
use crate::error::Result;
use crate::text::{escape, shown, toml_string};

/// The document of `--json`.
#[derive(Serialize)]
struct Made {
    success: bool,
    identity_file: String,
    signing_key_file: String,
    recipient: String,
    verify_key: String,
}

pub(super) fn run(app: &App, args: &KeyArgs) -> Result<Ended> {
    match &args.command {
        KeyCommand::New(new) => make(app, new),
    }
}

fn make(app: &App, args: &NewKey) -> Result<Ended> {
    let today = DateTime::<Utc>::from(SystemTime::now()).format("%Y-%m-%d");
    let keys = crypt::create(&args.dir, &today.to_string())?;
    let made = Made {
        success: true,
        identity_file: keys.identity_file.to_string_lossy().into_owned(),
        signing_key_file: keys.signing_key_file.to_string_lossy().into_owned(),
        recipient: keys.recipient,
        verify_key: keys.verify_key.to_string(),
    };
    app.output.print(&made, || {
        format!(
            "wrote {identity}\n  opens the copies: move it away from this machine, to two safe places; \
             without it nobody can restore them\n\
             wrote {signing}\n  proves that copies come from here: it stays on this machine\n\n\
             add to the configuration of the machine that makes backups:\n\n\
             [encryption]\nrecipients       = [{recipient}]\nsigning_key_file = {signing_toml}\n\n\
             and, only where you restore:\n\n\
             [encryption]\nidentity_file    = \"cofre-identity.txt\"\n",
            identity = shown(&keys.identity_file),
            signing = shown(&keys.signing_key_file),
            recipient = toml_string(&made.recipient),
            signing_toml = escape(&toml_string(&made.signing_key_file)),
        )
    })?;
    Ok(Ended::Done)
}
