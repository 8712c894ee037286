//! Archives beyond what 16 and 32 bits count.

use super::*;

#[test]
fn seventy_thousand_files_in_one_archive_are_accepted() {
    let place = Place::new();
    let folder = place.path("s");
    for i in 0..70_000 {
        disk::write(folder.join(format!("{i:05}")), b"").unwrap();
    }
    let row = create(&place.roots, request()).unwrap().backup.record;
    assert_eq!(row.file_count, Some(70_000));
    let zip = place.zip(&row);
    let mut test = Command::new("unzip");
    assert!(test.arg("-tqq").arg(&zip).status().unwrap().success());
    assert_eq!(manifest(&zip).entries.len(), 70_001);
}

#[test]
#[ignore = "minutes and 4 GiB: cargo test --release -p cofre-component -- --ignored"]
fn files_and_offsets_beyond_four_gibibytes_are_accepted() {
    for compression in [Compression::Deflate, Compression::Store] {
        let place = Place::new();
        let size = (4_u64 << 30) + 12_345;
        let file = File::create(place.path("s/sparse")).unwrap();
        file.set_len(size).unwrap();
        file.write_all_at(b"the end", size - 7).unwrap();
        place.write("tail", b"behind it");
        let request = CreateRequest {
            compression,
            level: 1,
            ..request()
        };
        let row = create(&place.roots, request).unwrap().backup.record;
        assert_eq!(row.source_bytes, Some(size + 9));
        let zip = place.zip(&row);
        accept(&zip);
        let mut reader = Command::new("unzip")
            .arg("-p")
            .arg(&zip)
            .arg("s/tail")
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut text = String::new();
        reader.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(reader.wait().unwrap().success() && text == "behind it");
    }
}
