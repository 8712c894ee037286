//! Names with control characters never reach a terminal raw.

use crate::support::App;

#[test]
fn control_characters_are_escaped_wherever_a_name_is_shown() {
    let app = App::small();
    app.write("static/\u{1b}[31mvermelho\u{7}.txt", b"red");
    app.write("static/linha\nfalsa.txt", b"two lines");
    app.create();
    app.write("static/\u{1b}[31mvermelho\u{7}.txt", b"changed");
    app.create();
    for args in [
        vec!["show", "latest"],
        vec!["diff", "1", "2"],
        vec!["create", "--dry-run"],
        vec!["-v", "create"],
    ] {
        app.cofre(&args)
            .exits(0)
            .never_says("\u{1b}[31m")
            .never_says("\u{7}")
            .never_says("linha\nfalsa");
    }
    app.cofre(&["show", "latest"]).says("vermelho");
}

#[test]
fn json_carries_names_exactly() {
    let app = App::new();
    app.write("static/linha\nfalsa.txt", b"two lines");
    app.create();
    let shown = app.json(&["show", "latest"]).to_string();
    assert!(shown.contains("static/linha\\nfalsa.txt"), "{shown}");
}
