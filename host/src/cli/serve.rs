//! `cofre serve`.

use super::{App, Ended};
use crate::error::{Code, Result};
use crate::serve;

pub(super) fn run(app: &App) -> Result<Ended> {
    let context = app.context()?;
    Ok(match serve::run(context, &app.cancel)? {
        serve::Ended::Done => Ended::Done,
        serve::Ended::CutShort => Ended::Bad(Code::Cancelled),
    })
}
