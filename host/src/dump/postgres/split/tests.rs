//! Streams as `pg_dump` writes them, with names and rows made to mislead, cut at every byte.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

/// What came of a stream, in a form to compare.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen(Vec<String>);

impl Parts for Seen {
    fn statement(&mut self, kind: Kind, sql: &[u8]) -> Result<()> {
        self.0.push(format!("{kind:?} {}", String::from_utf8_lossy(sql)));
        Ok(())
    }

    fn begin(&mut self, target: &Target, comment: &[u8], statement: &[u8]) -> Result<()> {
        let [schema, table, comment, statement] =
            [&target.schema, &target.table, comment, statement].map(String::from_utf8_lossy);
        self.0.push(format!("<{schema}><{table}> {comment} {statement}"));
        self.0.push(String::new());
        Ok(())
    }

    fn rows(&mut self, bytes: &[u8]) -> Result<()> {
        self.0
            .last_mut()
            .unwrap()
            .push_str(&String::from_utf8_lossy(bytes));
        Ok(())
    }

    fn end(&mut self, rows: u64) -> Result<()> {
        self.0.push(format!("{rows} rows"));
        Ok(())
    }
}

const STREAM: &str = r#"--
-- PostgreSQL database dump
--

\restrict abc

SET client_encoding = 'UTF8';
SELECT pg_catalog.set_config('search_path', '', false);

--
-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.t (a, b) FROM stdin;
1	x
2	\\.
\\.	\N
.
-- no comment
COPY public.u (a) FROM stdin;
\.


--
-- Data for Name: empty; Type: TABLE DATA; Schema: audit; Owner: -
--

COPY audit.empty (a) FROM stdin;
\.


COPY public.nothing  FROM stdin;


\.


COPY "S.1"."a""b;
c" ("x) FROM stdin;
", y) FROM stdin;
\N	
\.


SELECT pg_catalog.setval('public."odd''s;
COPY public.t (a) FROM stdin;
"', 7, true);


BEGIN;

SELECT pg_catalog.lo_open('1', 131072);
SELECT pg_catalog.lowrite(0, '\x00');
SELECT pg_catalog.lo_close(0);

COMMIT;

COMMENT ON LARGE OBJECT 1 IS 'it''s;
-- PostgreSQL database dump complete
';


REVOKE ALL ON LARGE OBJECT 1 FROM x;
--
-- PostgreSQL database dump complete
--

\unrestrict abc

"#;

fn wanted() -> Vec<&'static str> {
    vec![
        "Setting SET client_encoding = 'UTF8';\n",
        "Setting SELECT pg_catalog.set_config('search_path', '', false);\n",
        "<public><t> -- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: - COPY public.t (a, b) FROM stdin;",
        "\n1\tx\n2\t\\\\.\n\\\\.\t\\N\n.\n-- no comment\nCOPY public.u (a) FROM stdin;\n\\.\n",
        "6 rows",
        "<audit><empty> -- Data for Name: empty; Type: TABLE DATA; Schema: audit; Owner: - COPY audit.empty (a) FROM stdin;",
        "\n\\.\n",
        "0 rows",
        "<public><nothing> -- Data for Name: empty; Type: TABLE DATA; Schema: audit; Owner: - COPY public.nothing  FROM stdin;",
        "\n\n\n\\.\n",
        "2 rows",
        "<S.1><a\"b;\nc> -- Data for Name: empty; Type: TABLE DATA; Schema: audit; Owner: - COPY \"S.1\".\"a\"\"b;\nc\" (\"x) FROM stdin;\n\", y) FROM stdin;",
        "\n\\N\t\n\\.\n",
        "1 rows",
        "Other SELECT pg_catalog.setval('public.\"odd''s;\nCOPY public.t (a) FROM stdin;\n\"', 7, true);\n",
        "Blob SELECT pg_catalog.lo_open('1', 131072);\n",
        "Blob SELECT pg_catalog.lowrite(0, '\\x00');\n",
        "Blob SELECT pg_catalog.lo_close(0);\n",
        "Blob COMMENT ON LARGE OBJECT 1 IS 'it''s;\n-- PostgreSQL database dump complete\n';\n",
        "Grant REVOKE ALL ON LARGE OBJECT 1 FROM x;\n",
    ]
}

fn split(pieces: &[&[u8]]) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut splitter = Splitter::new();
    for piece in pieces {
        splitter.push(piece, &mut seen)?;
    }
    splitter.finish()?;
    Ok(seen)
}

#[test]
fn every_part_of_a_stream_is_told_apart() {
    assert_eq!(split(&[STREAM.as_bytes()]).unwrap().0, wanted());
}

#[test]
fn it_does_not_matter_where_a_stream_is_cut() {
    let bytes = STREAM.as_bytes();
    for at in 0..=bytes.len() {
        let (one, two) = bytes.split_at(at);
        assert_eq!(split(&[one, two]).unwrap().0, wanted(), "cut at {at}");
    }
    for size in [1, 2, 3, 5, 7] {
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        assert_eq!(split(&pieces).unwrap().0, wanted(), "pieces of {size}");
    }
}

#[test]
fn a_stream_that_ends_too_early_is_never_complete() {
    let end = STREAM.rfind("-- PostgreSQL database dump complete").unwrap();
    for at in 0..end + COMPLETE.len() {
        let error = split(&[&STREAM.as_bytes()[..at]]).unwrap_err();
        assert!(error.code == Code::DumpFailed, "cut at {at}: {error}");
    }
}

#[test]
fn commands_of_psql_and_other_forms_of_copy_are_refused() {
    for text in [
        "\\! rm -rf /\n",
        "\\connect other\n",
        "COPY t FROM stdin;\n",
        "COPY public.t FROM '/etc/passwd';\n",
        "COPY public.t(a) FROM stdin;\n",
    ] {
        let error = split(&[text.as_bytes()]).unwrap_err();
        assert!(error.message.contains("does not know"), "{text}: {error}");
    }
}

#[test]
fn the_end_of_rows_is_found_after_any_number_of_line_ends() {
    for lines in 0..5_usize {
        let stream = format!(
            "COPY public.n  FROM stdin;\n{}\\.\n--\n-- PostgreSQL database dump complete\n",
            "\n".repeat(lines)
        );
        for size in 1..8 {
            let pieces: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            let seen = split(&pieces).unwrap();
            assert_eq!(seen.0[2], format!("{lines} rows"));
            assert_eq!(seen.0[1], format!("\n{}\\.\n", "\n".repeat(lines)));
        }
    }
}
