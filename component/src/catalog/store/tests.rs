//! What loads, what is refused, and that nothing refused is touched.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::super::state::STATE_NAME;
use super::*;
use crate::testing::{Folder, row, row_with};

/// A row as the original system wrote it.
const LEGACY: &str = r#"[{"id": 3, "name": "backup_20250831_215249_manual", "type": "teste_script",
    "timestamp": "2025-08-31T21:52:49.123456", "status": "completed", "files": ["database\\relatorios.sql"],
    "size": 51234, "error": null, "zip_path": "backups\\backup_20250831_215249_manual.zip"}]"#;

fn load(bytes: &[u8]) -> Result<Catalog> {
    let folder = Folder::new();
    folder.write(HISTORY_NAME, bytes);
    let result = Catalog::load(&folder.dir());
    assert_eq!(
        std::fs::read(folder.path(HISTORY_NAME)).unwrap(),
        bytes,
        "loading changes nothing"
    );
    assert_eq!(folder.names().len(), 1, "loading writes nothing");
    result
}

fn good() -> Vec<u8> {
    serde_json::to_vec_pretty(&[row(1, "2024-01-01T02:00:00"), row(2, "2024-01-02T02:00:00")]).unwrap()
}

#[test]
fn a_row_of_the_original_system_loads_and_survives_a_rewrite() {
    let folder = Folder::new();
    folder.write(HISTORY_NAME, LEGACY.as_bytes());
    let mut catalog = folder.catalog();
    let row = catalog.get(3).unwrap().clone();
    assert_eq!(row.backup_type, "teste_script");
    assert_eq!(
        row.zip_path.as_deref(),
        Some("backups\\backup_20250831_215249_manual.zip")
    );
    assert!(!catalog.archive_present(&row));
    catalog.publish(&folder.dir()).unwrap();
    assert_eq!(folder.catalog().get(3).unwrap(), &row);
    let text = folder.read(HISTORY_NAME);
    assert!(
        text.contains(r#""files": ["#) && text.contains(r"database\\relatorios.sql"),
        "{text}"
    );
}

#[test]
fn the_file_is_laid_out_as_python_writes_it() {
    let folder = Folder::new();
    let odd = Record {
        error: Some("não \u{7f}\u{1f}\u{2028} \"x\"".into()),
        duration_seconds: Some(1.5),
        ..row(1, "2024-01-01T02:00:00")
    };
    folder.write_history(&[odd]);
    folder.catalog().publish(&folder.dir()).unwrap();
    let script = "import json,sys; t=open(sys.argv[1],encoding='utf-8').read(); \
        sys.exit(json.dumps(json.loads(t),indent=2,ensure_ascii=False)!=t)";
    let status = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(folder.path(HISTORY_NAME))
        .status()
        .unwrap();
    assert!(status.success(), "{}", folder.read(HISTORY_NAME));
}

#[test]
fn a_folder_without_anything_has_an_empty_catalog() {
    let folder = Folder::new();
    assert!(folder.catalog().records().is_empty());
    assert!(folder.names().is_empty());
}

#[test]
fn an_archive_without_a_catalog_is_said_and_look_alikes_do_not_count() {
    let folder = Folder::new();
    folder.write("backup_20240301_020000_clienteB.zip", b"x");
    folder.write("backup_financeiro.zip", b"x");
    std::fs::create_dir(folder.path("backup_20240301_020000_manual.zip")).unwrap();
    assert!(folder.catalog().records().is_empty());
    folder.write("backup_20240302_020000_manual.zip", b"x");
    let e = Catalog::load(&folder.dir()).unwrap_err();
    assert_eq!(e.kind, ErrorKind::CatalogInvalid);
    assert!(
        e.to_string()
            .contains("missing although the folder has 1 archives"),
        "{e}"
    );
    assert!(e.to_string().contains("cofre rebuild"), "{e}");
}

#[test]
fn damaged_files_are_refused_and_left_as_they_are() {
    let good = good();
    let text = String::from_utf8(good.clone()).unwrap();
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let latin1: Vec<u8> = text
        .replace("daily", "di\u{e1}rio")
        .chars()
        .map(|c| c as u8)
        .collect();
    let variants: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("blank", b"  \n".to_vec()),
        ("NULs", vec![0; good.len()]),
        ("half", good[..good.len() / 2].to_vec()),
        ("end missing", good[..good.len() - 2].to_vec()),
        ("null", b"null".to_vec()),
        ("number", b"7".to_vec()),
        ("text", b"\"x\"".to_vec()),
        ("object", b"{}".to_vec()),
        ("junk rows", b"[1,null,\"x\",{}]".to_vec()),
        ("byte order mark", [b"\xef\xbb\xbf".as_slice(), &good].concat()),
        ("UTF-16", utf16),
        ("Latin-1", latin1),
        ("junk behind", [good.as_slice(), b"}}"].concat()),
        ("two documents", [good.as_slice(), b"\n", &good].concat()),
        ("deep", vec![b'['; 200_000]),
        (
            "deep field",
            [b"[{\"x\":".as_slice(), &vec![b'['; 200_000]].concat(),
        ),
        (
            "negative size",
            text.replace("\"size\": 7", "\"size\": -1").into_bytes(),
        ),
        (
            "huge size",
            text.replace("\"size\": 7", "\"size\": 1e400").into_bytes(),
        ),
        ("NaN", text.replace("\"size\": 7", "\"size\": NaN").into_bytes()),
        (
            "bad status",
            text.replace("completed", "\\u001b[31m").into_bytes(),
        ),
        (
            "long status",
            text.replace("completed", &"x".repeat(5000)).into_bytes(),
        ),
        (
            "field twice",
            text.replace("\"size\": 7", "\"size\": 7, \"size\": 8")
                .into_bytes(),
        ),
    ];
    for (name, bytes) in variants {
        let e = load(&bytes).expect_err(name);
        assert_eq!(e.kind, ErrorKind::CatalogInvalid, "{name}: {e}");
        assert!(e.to_string().contains("cofre rebuild"), "{name}: {e}");
        assert!(e.to_string().len() < 500, "{name}: {e}");
        assert!(!e.to_string().contains(char::is_control), "{name}: {e}");
    }
}

#[test]
fn rows_that_point_elsewhere_or_repeat_are_refused_by_row() {
    let base = row(7, "2024-01-01T02:00:00");
    let named = |name: &str| Record {
        name: name.into(),
        ..base.clone()
    };
    let other = row(8, "2024-01-02T02:00:00");
    let table: Vec<(Record, &str)> = vec![
        (named("../vitima"), "row 2 (id 7)"),
        (named("/etc/passwd"), "row 2 (id 7)"),
        (named("C:\\backups\\x"), "row 2 (id 7)"),
        (named(""), "row 2 (id 7)"),
        (named("backup_history.json"), "row 2 (id 7)"),
        (named("backup_20240101_020000_manual\0.txt"), "row 2 (id 7)"),
        (named("<img src=x>\u{1b}[31m\n"), "\\u{1b}"),
        (
            Record {
                timestamp: "ontem".into(),
                ..base.clone()
            },
            "`ontem` is not a time",
        ),
        (
            Record {
                timestamp: "2024-02-30T00:00:00".into(),
                ..base.clone()
            },
            "is not a time",
        ),
        (
            Record {
                started_at: Some("2024-01-01T02:00:00".into()),
                ..base.clone()
            },
            "started_at",
        ),
        (
            Record {
                id: 1 << 53,
                ..base.clone()
            },
            "too large",
        ),
        (
            Record {
                id: 8,
                ..base.clone()
            },
            "rows 1 and 2 have the same id 8",
        ),
        (named(&other.name), "rows 1 and 2 have the same name"),
    ];
    for (bad, expected) in table {
        let bytes = serde_json::to_vec(&[other.clone(), bad]).unwrap();
        let e = load(&bytes).unwrap_err();
        assert_eq!(e.kind, ErrorKind::CatalogInvalid);
        assert!(e.to_string().contains(expected), "{expected}: {e}");
        assert!(!e.to_string().contains('\u{1b}'), "{e}");
    }
}

#[test]
fn a_broken_row_is_named_by_its_number() {
    let bytes = String::from_utf8(good())
        .unwrap()
        .replacen("\"id\": 2", "\"id\": null", 1);
    let e = load(bytes.as_bytes()).unwrap_err();
    assert!(e.message.starts_with("row 2: "), "{e}");
}

#[test]
fn a_link_or_a_folder_in_the_place_of_the_catalog_is_refused() {
    let folder = Folder::new();
    folder.write("elsewhere", b"[]");
    std::os::unix::fs::symlink("elsewhere", folder.path(HISTORY_NAME)).unwrap();
    assert_eq!(
        Catalog::load(&folder.dir()).unwrap_err().kind,
        ErrorKind::CatalogInvalid
    );
    std::fs::remove_file(folder.path(HISTORY_NAME)).unwrap();
    std::fs::create_dir(folder.path(HISTORY_NAME)).unwrap();
    assert_eq!(
        Catalog::load(&folder.dir()).unwrap_err().kind,
        ErrorKind::CatalogInvalid
    );
}

#[test]
fn an_unreadable_or_newer_state_file_is_refused() {
    let folder = Folder::with(&[row(1, "2024-01-01T02:00:00")]);
    for (content, kind) in [
        ("", ErrorKind::CatalogInvalid),
        ("[]", ErrorKind::CatalogInvalid),
        ("{\"format\":1}", ErrorKind::CatalogInvalid),
        (
            r#"{"format":1,"next_id":2,"tombstones":[{"id":1,"name":"../x","pending":true}]}"#,
            ErrorKind::CatalogInvalid,
        ),
        (
            r#"{"format":1,"next_id":18446744073709551615}"#,
            ErrorKind::CatalogInvalid,
        ),
        ("{\"format\":2,\"next_id\":5}", ErrorKind::Unsupported),
    ] {
        folder.write(STATE_NAME, content.as_bytes());
        let e = Catalog::load(&folder.dir()).unwrap_err();
        assert_eq!(e.kind, kind, "{content}: {e}");
    }
}

#[test]
fn ids_are_derived_without_a_state_file_and_never_given_twice_with_one() {
    let folder = Folder::with(&[row(41, "2024-01-01T02:00:00")]);
    let mut catalog = folder.catalog();
    assert_eq!(
        catalog.append(|id| row(id, "2024-01-02T02:00:00")).unwrap().id,
        42
    );
    catalog.remove(42).unwrap();
    catalog.publish(&folder.dir()).unwrap();
    assert_eq!(
        folder
            .catalog()
            .append(|id| row(id, "2024-01-03T02:00:00"))
            .unwrap()
            .id,
        43
    );
    // Even when another program forgets the rows; while their archives are there, nobody goes on from that.
    folder.write(HISTORY_NAME, b"[]");
    let e = Catalog::load(&folder.dir()).unwrap_err();
    assert_eq!(e.kind, ErrorKind::CatalogInvalid);
    assert!(
        e.to_string().contains("empty although the folder has 1 archives"),
        "{e}"
    );
    std::fs::remove_file(folder.path("backup_20240101_020000_automated.zip")).unwrap();
    assert_eq!(
        folder
            .catalog()
            .append(|id| row(id, "2024-01-04T02:00:00"))
            .unwrap()
            .id,
        43
    );
}

#[test]
fn the_state_file_keeps_what_later_versions_and_the_host_wrote() {
    let folder = Folder::with(&[row(1, "2024-01-01T02:00:00")]);
    folder.write(
        STATE_NAME,
        br#"{"format":1,"repository":"abc","next_id":9,"later":{"a":[1]}}"#,
    );
    let mut catalog = folder.catalog();
    catalog.remove(1).unwrap();
    catalog.publish(&folder.dir()).unwrap();
    let state: serde_json::Value = serde_json::from_str(&folder.read(STATE_NAME)).unwrap();
    assert_eq!(state["repository"], "abc");
    assert_eq!(state["later"]["a"][0], 1);
    assert_eq!(state["tombstones"][0]["id"], 1);
}

#[test]
fn a_row_that_is_still_there_was_not_deleted() {
    let rows = [row(1, "2024-01-01T02:00:00")];
    let folder = Folder::with(&rows);
    let name = &rows[0].name;
    let state =
        format!(r#"{{"format":1,"next_id":2,"tombstones":[{{"id":1,"name":"{name}","pending":true}}]}}"#);
    folder.write(STATE_NAME, state.as_bytes());
    assert_eq!(folder.catalog().pending().count(), 0);
}

#[test]
fn rows_that_break_a_rule_are_never_published() {
    let folder = Folder::with(&[row(1, "2024-01-01T02:00:00")]);
    let before = folder.read(HISTORY_NAME);
    let mut catalog = folder.catalog();
    catalog.get_mut(1).unwrap().name = "../x".into();
    assert_eq!(
        catalog.publish(&folder.dir()).unwrap_err().kind,
        ErrorKind::CatalogInvalid
    );
    assert_eq!(folder.read(HISTORY_NAME), before);
}

#[test]
fn failed_rows_without_an_archive_leave_no_tombstone() {
    let folder = Folder::with(&[row_with(1, "2024-01-01T02:00:00", Status::Failed)]);
    let mut catalog = folder.catalog();
    catalog.remove(1).unwrap();
    assert_eq!(catalog.pending().count(), 0);
}
