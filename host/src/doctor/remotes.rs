//! The copies off the machine: keys, and whether each remote answers and is ours.

use super::Findings;
use crate::context::Context;
use crate::error::Code;
use crate::{remote, text};

const AREA: &str = "remotes";

pub(super) fn examine(found: &mut Findings, context: &Context) {
    let config = &context.config;
    if config.remotes.is_empty() {
        found.warn(
            AREA,
            "no copy leaves this machine: what destroys its disk destroys the backups too",
            "add `[[remotes]]`; README, \"Copies off the machine\"",
        );
        return;
    }
    let keys = &config.encryption;
    if keys.identity_file.is_some() && keys.signing_key_file.is_some() {
        found.warn(
            AREA,
            "the identity that opens the copies is on the machine that makes them: who breaks in can read old ones",
            "keep the identity file elsewhere, and take `identity_file` out of the configuration",
        );
    }
    // A signing key that is not here is no mistake where one only restores.
    let signs = keys.signing_key_file.as_ref().is_some_and(|file| file.exists());
    let restores_only = keys.identity_file.is_some() && !signs;
    if restores_only {
        found.warn(
            AREA,
            "restore only: the signing key is not here, so that copies are fetched and proved, and none are made",
            "before backups go on here, bring the signing key back and name it as `encryption.signing_key_file`",
        );
    }
    for (one, known) in config.remotes.iter().zip(remote::status(context)) {
        if restores_only {
            match remote::can_read(one) {
                Ok(()) => found.ok(
                    AREA,
                    format!("`{}` at {} answers and has copies", one.name, known.place),
                ),
                Err(error) => found.error(AREA, error),
            }
            continue;
        }
        if let Err(error) = remote::can_push(context, one) {
            found.error(AREA, error);
            continue;
        }
        if known.lost > 0 {
            let lost = text::counted(
                known.lost,
                "copy is gone or was changed",
                "copies are gone or were changed",
            );
            found.problem(
                AREA,
                Code::VerifyFailed,
                format!("{lost} at `{}`", one.name),
                "`cofre remote push` makes those again whose archive is here; look who can write there",
            );
        }
        match known.last_error {
            Some(error) => found.problem(
                AREA,
                Code::Io,
                format!("copies to `{}` fail: {error}", one.name),
                "`cofre remote push` tries now, and says more",
            ),
            None => found.ok(
                AREA,
                format!(
                    "`{}` at {} answers and is ours: {}, {} still to be made",
                    one.name,
                    known.place,
                    text::counted(known.copies, "copy", "copies"),
                    known.pending
                ),
            ),
        }
    }
}
