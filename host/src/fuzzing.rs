//! Not a module of the program: the root of the fuzz targets' library (`host/fuzz`), which takes the modules that read
//! a configuration as they are and where they are, without the program's wasmtime, server and databases.
#![allow(
    dead_code,
    unused_imports,
    missing_docs,
    reason = "the program uses the rest, and documents it"
)]

pub mod config;
pub mod error;
#[path = "../../exporter/src/small_file.rs"]
pub mod small_file;
pub mod text;

// By this name the program calls the library that `small_file` is from.
extern crate self as cofre_exporter;

pub mod dump {
    pub(crate) mod mysql {
        pub(in crate::dump) mod options;
    }
    pub mod server;
    pub mod tables;
    pub(crate) mod tool {
        mod options;
        pub(crate) use options::check_options;
    }
}

pub mod notify {
    mod event;
    mod sign;
    pub use event::Event;
    pub use sign::SigningKey;
}

/// Public keys are read by libraries that bring C along; what a configuration does with them is the same for any text.
pub mod crypt {
    use crate::error::{Code, Error, Result};

    #[derive(Debug)]
    pub struct Recipients;

    impl Recipients {
        pub fn parse(texts: &[String]) -> Result<Self> {
            if texts.iter().all(|text| text.starts_with("age1")) {
                return Ok(Self);
            }
            Err(Error::new(Code::Config, "not a public key"))
        }
    }

    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct VerifyKey;

    impl VerifyKey {
        pub fn parse(text: &str) -> Result<Self> {
            if text.trim().len() == 44 {
                return Ok(Self);
            }
            Err(Error::new(Code::Config, "not a verify key"))
        }
    }
}
