//! The command line of cofre; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    cofre::cli::main()
}
