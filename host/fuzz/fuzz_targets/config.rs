//! Any text as `cofre.toml`: it is taken or every problem is told, in one harmless line each, that names a line of the
//! file.
#![no_main]

use std::path::Path;

use cofre_fuzz::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Config::parse(text, Path::new("/nowhere/in/particular")) {
        Ok(config) => {
            assert!(config.backup_dir.is_absolute() && config.state_dir.is_absolute());
            assert!(config.retention.max_backups >= 1);
        }
        Err(problems) => {
            assert!(!problems.0.is_empty());
            let lines = text.bytes().filter(|b| *b == b'\n').count() + 1;
            for problem in &problems.0 {
                assert!(
                    problem.line.is_none_or(|n| (1..=lines).contains(&n)),
                    "{problem:?}"
                );
                assert!(!problem.to_string().contains(char::is_control), "{problem:?}");
            }
        }
    }
});
