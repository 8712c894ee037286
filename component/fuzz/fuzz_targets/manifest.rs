//! Any bytes as `backup_info.json`: read as a stream, they mean what they mean when they are read as a whole, and
//! what was read is read again when it is written.
#![no_main]

use cofre_component::error::ErrorKind;
use cofre_component::manifest::{Manifest, ManifestEntry, ManifestHeader, read_manifest};
use libfuzzer_sys::fuzz_target;

fn read(mut bytes: &[u8]) -> cofre_component::Result<(Option<ManifestHeader>, Vec<ManifestEntry>)> {
    let mut rows = Vec::new();
    let header = read_manifest(&mut bytes, &mut |row| {
        rows.push(row);
        Ok(())
    })?;
    Ok((header, rows))
}

fuzz_target!(|data: &[u8]| {
    match read(data) {
        Ok((Some(header), entries)) => {
            let manifest = Manifest { header, entries };
            // Of fields that nobody knows, the stream looks less closely at the values than the whole does.
            if let Ok(whole) = serde_json::from_slice::<Manifest>(data) {
                assert_eq!(whole, manifest);
            }
            let again = serde_json::to_vec(&manifest).unwrap();
            let (header, entries) = read(&again).unwrap();
            assert_eq!((header, entries), (Some(manifest.header), manifest.entries));
        }
        Ok((None, rows)) => assert!(rows.is_empty()),
        Err(e) => {
            assert!(
                matches!(e.kind, ErrorKind::Corrupt | ErrorKind::Unsupported),
                "{e}"
            );
            assert!(
                e.to_string().len() < 2000 && !e.to_string().contains(char::is_control),
                "{e:?}"
            );
        }
    }
});
