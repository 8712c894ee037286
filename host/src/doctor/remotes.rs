//! The copies off the machine: keys, and whether each remote answers and is ours.

use super::Findings;
use crate::context::Context;
use crate::error::Code;
use crate::remote;

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
    for (one, known) in config.remotes.iter().zip(remote::status(context)) {
        if let Err(error) = remote::can_push(context, one) {
            found.error(AREA, error);
            continue;
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
                    "`{}` at {} answers and is ours: {} copies, {} still to be made",
                    one.name, known.place, known.copies, known.pending
                ),
            ),
        }
    }
}
