//! Configs take typed items and JSON documents.

use std::fs;

use pmemkv::{Config, Database, Error, Status, engines};

use crate::common::{MIB, TestResult, directory};

#[test]
fn a_json_document_opens_engines() -> TestResult {
    let directory = directory()?;
    let path = directory.path().display().to_string();
    for name in ["vcmap", "vsmap"] {
        if engines::is_available(name) {
            let document = format!(r#"{{"path": "{path}", "size": 33554432}}"#);
            Database::open(name, Config::from_json(&document)?)?.put(b"key", b"value")?;
        }
    }
    let document =
        format!(r#"{{"path": "{path}/json.pool", "size": 16777216, "force_create": true}}"#);
    Database::open("cmap", Config::from_json(&document)?)?.put(b"key", b"value")?;
    let document = format!(r#"{{"path": "{path}/json.pool"}}"#);
    let db = Database::open("cmap", Config::from_json(&document)?)?;
    assert_eq!(db.get(b"key")?.as_deref(), Some(&b"value"[..]));
    Ok(())
}

#[test]
fn json_that_pmemkv_does_not_take_is_named() -> TestResult {
    let unsupported = |document: &str| match Config::from_json(document) {
        Err(Error::JsonUnsupported { key, kind }) => format!("{key}: {kind}"),
        other => format!("{:?}", other.map(|_| ())),
    };
    assert_eq!(unsupported(r#"{"a": 1, "b": null}"#), "b: null");
    assert_eq!(unsupported(r#"{"size": 1.5}"#), "size: a float");
    assert_eq!(unsupported(r#"{"path": ["/x"]}"#), "path: an array");
    assert_eq!(
        unsupported(r#"{"size": 18446744073709551615}"#),
        "size: a number beyond 2^63-1"
    );
    assert_eq!(unsupported(r#"{"sub": {"x": null}}"#), "sub.x: null");
    // pmemkv would take these items for pointers.
    assert_eq!(unsupported(r#"{"oid": {}}"#), "oid: an object");
    assert_eq!(
        unsupported(r#"{"comparator": {}}"#),
        "comparator: an object"
    );

    assert!(matches!(Config::from_json("{"), Err(Error::Json(_))));
    assert!(matches!(Config::from_json(""), Err(Error::Json(_))));
    for document in ["[]", "1", "null", "\"path\""] {
        let result = Config::from_json(document);
        assert!(matches!(result, Err(Error::JsonNotObject)), "{document}");
    }
    let nul = Config::from_json("{\"a\": \"b\\u0000c\"}").map(|_| ());
    assert_eq!(nul, Err(Error::Nul("a string")));
    Config::from_json(r#"{"flag": true, "sub": {"x": {"y": -1}}, "text": ""}"#)?;
    Ok(())
}

#[test]
fn items_of_the_wrong_type_are_refused_by_the_library() -> TestResult {
    let mut config = Config::new()?;
    config
        .put_data("path", b"/dev/shm")?
        .put_u64("size", 16 * MIB)?;
    let error = Database::open("cmap", config).expect_err("it opened");
    assert_eq!(error.status(), Some(Status::ConfigTypeError), "{error}");

    let mut config = Config::new()?;
    config.put_string("oid", "not a pointer")?;
    let error = Database::open("cmap", config).expect_err("it opened");
    assert_eq!(error.status(), Some(Status::ConfigTypeError), "{error}");

    let error = Database::open("cmap", Config::new()?).expect_err("it opened");
    assert_eq!(error.status(), Some(Status::InvalidArgument), "{error}");
    assert!(error.to_string().contains("path"), "{error}");

    let mut config = Config::new()?;
    config
        .put_i64("number", -1)?
        .put_path("/dev/shm")?
        .put_data("bytes", &[0, 1])?;
    let refused = config.put_i64("nul\0name", 1).map(|_| ());
    assert_eq!(refused, Err(Error::Nul("an item's name")));
    Ok(())
}

#[test]
fn files_that_are_no_pools_are_errors() -> TestResult {
    let directory = directory()?;
    let path = directory.path().join("file");
    for contents in [&b""[..], b"some text", &[0; 4096]] {
        fs::write(&path, contents)?;
        let mut config = Config::new()?;
        config.put_path(&path)?;
        let error = Database::open("cmap", config).expect_err("it opened");
        assert!(matches!(error, Error::NotAPool { .. }), "{error}");
    }
    fs::write(&path, vec![7; 9 << 20])?;
    let mut config = Config::new()?;
    config.put_path(&path)?;
    Database::open("cmap", config).expect_err("it opened");

    let mut config = Config::new()?;
    config
        .put_path(&path)?
        .put_size(16 * MIB)?
        .put_force_create(true)?;
    Database::open("cmap", config).expect_err("it replaced a file");
    assert_eq!(fs::read(&path)?, vec![7; 9 << 20]);

    let mut config = Config::new()?;
    config.put_path(directory.path().join("absent"))?;
    let error = Database::open("cmap", config).expect_err("it opened");
    assert!(error.to_string().contains("No such file"), "{error}");
    Ok(())
}
