//! What the program prints about itself.

use std::ffi::OsString;

use super::super::{Config, DIRECTIVES, Document, Task};
use super::{TestResult, parse};

fn text(document: Document) -> TestResult<String> {
    let mut output = Vec::new();
    document.write(&mut output)?;
    Ok(String::from_utf8(output)?)
}

/// Text as roff writes it.
fn escaped(text: &str) -> String {
    text.replace('-', r"\-")
}

#[test]
fn the_manual_of_the_configuration_has_every_directive_once() -> TestResult {
    let page = text(Document::ManConf)?;
    for directive in DIRECTIVES {
        let head = format!("\n\\fB{}\\fR ", escaped(directive.name));
        let count = page.matches(&head).count();
        assert_eq!(count, 1, "{}:\n{page}", directive.name);
    }
    // What the row says, and what the default file says.
    for part in [
        "One of auto, pairs, packed. Default: auto. Only a start sets it.",
        "Former name: slaveof.",
    ] {
        assert!(page.contains(&escaped(part)), "{part}");
    }
    assert!(
        page.contains("The size of the pool when it is made."),
        "{page}"
    );
    Ok(())
}

#[test]
fn the_manual_of_the_program_explains_its_options() -> TestResult {
    let page = text(Document::Man)?;
    for part in [
        ".TH PMEMKV-SERVER 1",
        "dump\\-config",
        "check",
        "A Redis\\-compatible server whose data lives in persistent memory",
        ".SH SIGNALS",
        "LISTEN_FDS",
        ".SH \"EXIT STATUS\"",
    ] {
        assert!(page.contains(part), "{part}:\n{page}");
    }
    Ok(())
}

#[test]
fn shells_complete_directives_and_their_words() -> TestResult {
    for (document, parts) in [
        (
            Document::Bash,
            ["--maxmemory-policy", "volatile-ttl", "check"],
        ),
        (
            Document::Zsh,
            ["--maxmemory-policy", "volatile-ttl", "check"],
        ),
        (
            Document::Fish,
            ["-l maxmemory-policy", "volatile-ttl", "check"],
        ),
    ] {
        let script = text(document)?;
        for part in parts {
            assert!(script.contains(part), "{document:?}: {part}");
        }
    }
    Ok(())
}

#[test]
fn tasks_are_told_from_servers() {
    let task = |words: &[&str]| {
        let words: Vec<OsString> = ["pmemkv-server"]
            .iter()
            .chain(words)
            .map(OsString::from)
            .collect();
        Task::parse(&words).map(|task| format!("{task:?}"))
    };
    for (words, expected) in [
        (&["--port", "7000"][..], "None"),
        (&["a.conf", "check"], "None"),
        (&["./check"], "None"),
        (&[], "None"),
        (
            &["check", "--json", "a.pool"],
            "Some(Check(Check { json: true, pool: \"a.pool\" }))",
        ),
        (&["--generate", "man-conf"], "Some(Generate(ManConf))"),
        (
            &["a.conf", "--hz", "5", "--dump-config"],
            "Some(DumpConfig([\"pmemkv-server\", \"a.conf\", \"--hz\", \"5\"]))",
        ),
        (&["--dump-config"], "Some(DumpConfig([\"pmemkv-server\"]))"),
    ] {
        assert_eq!(task(words).ok().as_deref(), Some(expected), "{words:?}");
    }
    for words in [&["check"][..], &["check", "a", "b"], &["--generate", "pdf"]] {
        assert_eq!(
            task(words).err().map(|error| error.exit_code()),
            Some(2),
            "{words:?}"
        );
    }
}

#[test]
fn a_dump_is_a_configuration_without_secrets() -> TestResult {
    let arguments = [
        "--port",
        "7000",
        "--save",
        "900 1",
        "--bind",
        "127.0.0.1",
        "-::1",
        "--requirepass",
        "hidden one",
        "--user",
        "worker",
        "on",
        ">hidden2",
        "--rename-command",
        "FLUSHALL",
        "",
        "--client-output-buffer-limit",
        "pubsub",
        "1",
        "2",
        "3",
    ];
    let loaded = parse(&arguments)?;
    let dump = loaded.config.dump();
    let text = String::from_utf8(dump.clone())?;
    for line in [
        "port 7000",
        "save 900 1",
        "bind 127.0.0.1 -::1",
        "# requirepass (value hidden)",
        "# user worker (rules hidden)",
        "rename-command FLUSHALL \"\"",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}:\n{text}");
    }
    assert!(!text.contains("hidden one") && !text.contains("hidden2"));
    let again = Config::from_text(&dump)?;
    assert_eq!(
        String::from_utf8(again.config.dump())?,
        text.replace("# requirepass (value hidden)", "requirepass \"\"")
            .replace("# user worker (rules hidden)\n", "")
    );
    Ok(())
}
