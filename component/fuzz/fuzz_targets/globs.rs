//! Any globs on any paths: an excluded folder takes all below it along, whatever was asked before.
#![no_main]

use cofre_component::scan::Filter;
use libfuzzer_sys::{arbitrary, fuzz_target};

#[derive(Debug, arbitrary::Arbitrary)]
struct Input {
    include: Vec<String>,
    exclude: Vec<String>,
    paths: Vec<String>,
}

fuzz_target!(|input: Input| {
    let Ok(mut filter) = Filter::new(&input.include, &input.exclude) else {
        return;
    };
    for path in &input.paths {
        let excluded = filter.excluded(path);
        let mut fresh = Filter::new(&input.include, &input.exclude).unwrap();
        assert_eq!(
            excluded,
            fresh.excluded(path),
            "it depends on what was asked before"
        );
        if excluded {
            assert!(!path.is_empty(), "the root is never excluded");
            assert!(filter.excluded(&format!("{path}/below")));
        }
        assert!(filter.selects() || filter.included(path));
    }
});
