//! The archive: a plain ZIP, written as one stream and read strictly.
