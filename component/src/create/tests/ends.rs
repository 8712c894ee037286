//! Runs that fail, are cancelled, or find their row or archive in a state that they must not touch.

use super::*;

#[test]
fn a_run_that_cannot_start_is_recorded_as_failed() {
    let place = Place::new(); // with an empty source
    let e = create(&place.roots, request()).unwrap_err();
    assert_eq!(e.kind, ErrorKind::SourceMissing);
    let rows = place.rows();
    assert_eq!(rows[0].status, Status::Failed);
    assert!(rows[0].error.as_ref().unwrap().contains("allow_empty"));

    let bad_level = CreateRequest {
        level: 77,
        ..request()
    };
    place.write("a", b"a");
    assert_eq!(
        create(&place.roots, bad_level).unwrap_err().kind,
        ErrorKind::InvalidInput
    );
    assert_eq!(place.backups(), ["backup_history.json"]);
    assert_eq!(place.rows().len(), 2);
}

#[test]
fn a_cancelled_run_leaves_only_its_row() {
    let place = Place::new();
    sample(&place);
    let mut job = Job::new(Request::Create(request()));
    for _ in 0..6 {
        assert!(job.step(&place.roots, 10_000, None).unwrap().1.is_none());
    }
    assert!(
        place
            .backups()
            .contains(&".backup_20261125_143000_manual.zip.partial".to_owned())
    );
    job.cancel(&place.roots, Some(END)).unwrap();
    assert_eq!(place.backups(), ["backup_history.json"]);
    assert_eq!(place.rows()[0].status, Status::Cancelled);
    assert!(job.step(&place.roots, 1, None).is_err());
    job.cancel(&place.roots, None).unwrap();
    assert_eq!(place.rows()[0].status, Status::Cancelled);
}

#[test]
fn a_begun_run_is_continued_and_an_ended_one_is_refused_untouched() {
    let place = Place::new();
    sample(&place);
    let begun = run::begin(&place.roots, &request().run).unwrap();
    let request = CreateRequest {
        begun: Some(begun.id),
        ..request()
    };
    let row = create(&place.roots, request.clone()).unwrap().backup.record;
    assert_eq!((row.id, &row.name), (begun.id, &begun.name));
    let e = create(&place.roots, request).unwrap_err();
    assert_eq!(e.kind, ErrorKind::InvalidInput);
    assert_eq!(place.rows(), [row]);
}

#[test]
fn an_archive_that_appeared_meanwhile_is_never_replaced() {
    let place = Place::new();
    sample(&place);
    let mut job = Job::new(Request::Create(request()));
    job.step(&place.roots, 1, None).unwrap();
    let zip = place.path("backups/backup_20261125_143000_manual.zip");
    disk::write(&zip, b"precious").unwrap();
    let e = loop {
        match job.step(&place.roots, u64::MAX, None) {
            Ok((_, done)) => assert!(done.is_none()),
            Err(e) => break e,
        }
    };
    assert_eq!(e.kind, ErrorKind::AlreadyExists);
    assert_eq!(disk::read(&zip).unwrap(), b"precious");
    assert_eq!(place.rows()[0].status, Status::Failed);
}
