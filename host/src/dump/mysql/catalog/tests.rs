//! What the catalog of a MySQL or MariaDB server is read as: rights that hide something, changes between two readings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

fn hex(text: &str) -> String {
    crate::text::hex(text.as_bytes())
}

#[test]
fn the_answers_are_read_and_remarked_upon() {
    let table = |name: &str, kind: &str, engine: &str| {
        format!("table\t{}\t{}\t{}\t1000\n", hex(name), hex(kind), hex(engine))
    };
    let answers = [
        format!("version\t{}\n", hex("10.11.19-MariaDB")),
        format!(
            "database\t{}\t{}\t{}\n",
            hex("a\tb"),
            hex("utf8mb4"),
            hex("utf8mb4_bin")
        ),
        format!("engine\t{}\n", hex("InnoDB")),
        table("plain", "BASE TABLE", "InnoDB"),
        table("log\nbook", "BASE TABLE", "Aria"),
        table("link", "BASE TABLE", "FEDERATED"),
        table("past", "SYSTEM VERSIONED", "InnoDB"),
        table("v", "VIEW", ""),
        table("s", "SEQUENCE", "InnoDB"),
        format!("float\t{}\n", hex("plain")),
    ]
    .concat();
    let catalog = Catalog::parse(&answers).unwrap();
    assert_eq!(catalog.database, "a\tb");
    assert_eq!(catalog.bytes(&TableFilter::default()), 4000);
    assert!(catalog.is_mariadb() && catalog.has_history());
    let remarks = catalog.remarks(true);
    assert_eq!(remarks.len(), 3, "{remarks:?}");
    assert!(remarks[0].contains("without transactions") && remarks[0].ends_with(": log\\nbook"));
    assert!(remarks[1].contains("without rows") && remarks[1].ends_with(": link"));
    assert!(remarks[2].contains("6 digits") && remarks[2].ends_with(": plain"));
    assert!(catalog.remarks(false)[2].ends_with("the past: past"));

    let precise = format!("{answers}precise\t{}\n", hex("past"));
    assert!(!Catalog::parse(&precise).unwrap().has_history());
    for bad in ["", "table\t00", "what\t00", "version\t0g", "version\tff"] {
        assert!(Catalog::parse(&format!("{bad}\n")).is_err(), "{bad:?}");
    }
}

#[test]
fn long_lists_of_names_are_cut() {
    let names: Vec<String> = (0..12).map(|i| format!("t{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(list(&names).ends_with("t9 and 2 more"));
    assert_eq!(list(&names[..2]), "t0, t1");
}

#[test]
fn grants_say_what_can_be_seen() {
    let sight = |grants: &str| {
        let Sight {
            triggers,
            routines,
            unsure,
        } = Sight::parse(grants, "my_app");
        (triggers, routines, unsure)
    };
    assert_eq!(
        sight("GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"),
        (true, true, false)
    );
    assert_eq!(
        sight("GRANT SELECT, TRIGGER ON `my\\_app`.* TO `a`@`%`"),
        (true, false, false)
    );
    assert_eq!(
        sight("GRANT SELECT, TRIGGER, EXECUTE ON `my%`.* TO `a`@`%`"),
        (true, true, false)
    );
    assert_eq!(
        sight("GRANT SELECT, TRIGGER ON `other`.* TO `a`@`%`"),
        (false, false, false)
    );
    assert_eq!(
        sight("GRANT TRIGGER, EXECUTE ON `my_app`.`t` TO `a`@`%`"),
        (false, false, false)
    );
    assert_eq!(
        sight("GRANT USAGE ON *.* TO `a`@`%`\nGRANT SELECT ON `mysql`.`proc` TO `a`@`%`"),
        (false, true, false)
    );
    assert_eq!(sight("GRANT `backup`@`%` TO `a`@`%`"), (false, false, true));
    // MySQL lists its newer rights without blanks.
    assert_eq!(
        sight("GRANT AUDIT_ADMIN,SHOW_ROUTINE ON *.* TO `a`@`%`"),
        (false, true, false)
    );
    assert_eq!(sight("GRANT SELECT ON *.* TO `a`@`%`"), (false, true, false));
    // The server takes only the most specific of the grants on databases, in whatever order they come.
    let all = "GRANT SELECT, TRIGGER, EXECUTE ON";
    for (exact, wide) in [("my\\_app", "my%"), ("my\\_app", "my_app"), ("my\\_%", "my%")] {
        let poor = format!("GRANT SELECT, EVENT ON `{exact}`.* TO `a`@`%`");
        let rich = format!("{all} `{wide}`.* TO `a`@`%`");
        for grants in [format!("{poor}\n{rich}"), format!("{rich}\n{poor}")] {
            assert_eq!(sight(&grants), (false, false, false), "{grants}");
        }
        // A role's rights come on top of the user's.
        let role = format!("{poor}\n{all} `{wide}`.* TO `role`");
        assert_eq!(sight(&role), (true, true, false), "{role}");
    }
    assert_eq!(
        sight("GRANT SELECT ON `my%`.* TO `a`@`%`\nGRANT TRIGGER ON `my\\_app`.* TO `a`@`%`"),
        (true, false, false)
    );
}
