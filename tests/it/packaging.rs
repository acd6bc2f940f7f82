//! The Debian package, the units for systemd, the dashboard and the alerts. What a tool of another package checks is skipped
//! with a line where the tool is missing.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use common::{Options, Server, TestResult, backup, quiet_port};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a tool; `None` if it is not installed.
fn tool(program: &str, arguments: &[&str], folder: &Path) -> TestResult<Option<Output>> {
    match Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("LC_ALL", "C.UTF-8")
        .output()
    {
        Ok(output) => Ok(Some(output)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("{program} is not installed: skipped");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn said(output: &Output) -> String {
    let (out, errors) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(&[out.as_slice(), errors].concat()).into_owned()
}

#[test]
fn systemd_takes_the_units_and_finds_them_safe() -> TestResult {
    let folder = tempfile::tempdir()?;
    let program = common::program().display().to_string();
    for unit in ["pmemkv-server.service", "pmemkv-server.socket"] {
        let text = fs::read_to_string(root().join("packaging/systemd").join(unit))?;
        let text = text.replace("/usr/bin/pmemkv-server", &program);
        fs::write(folder.path().join(unit), text)?;
    }
    // With each of the examples for DAX as well.
    for drop_in in ["", "dax-filesystem.conf", "dax-device.conf"] {
        let place = folder.path().join("pmemkv-server.service.d");
        if !drop_in.is_empty() {
            fs::create_dir_all(&place)?;
            let example = root().join("packaging/systemd").join(drop_in);
            fs::copy(example, place.join("dax.conf"))?;
        }
        let arguments = [
            "verify",
            "--man=no",
            "./pmemkv-server.service",
            "./pmemkv-server.socket",
        ];
        let Some(output) = tool("systemd-analyze", &arguments, folder.path())? else {
            return Ok(());
        };
        let text = said(&output);
        assert!(
            output.status.success() && text.is_empty(),
            "{drop_in}: {text}"
        );
    }
    fs::remove_dir_all(folder.path().join("pmemkv-server.service.d"))?;
    // Debian's redis-server has 1.2 of 10; 1.5 is the most that this unit may have.
    let arguments = [
        "security",
        "--offline=true",
        "--threshold=15",
        "--no-pager",
        "./pmemkv-server.service",
    ];
    let Some(output) = tool("systemd-analyze", &arguments, folder.path())? else {
        return Ok(());
    };
    assert!(output.status.success(), "{}", said(&output));
    Ok(())
}

/// systemd deletes what the user of a unit with `RemoveIPC` has in /dev/shm when the service ends, and a crash is such an end.
#[test]
fn the_unit_leaves_the_pool_in_shared_memory_alone() -> TestResult {
    let unit = fs::read_to_string(root().join("packaging/systemd/pmemkv-server.service"))?;
    let lines: Vec<_> = unit.lines().collect();
    assert!(lines.contains(&"RemoveIPC=false"));
    assert!(
        !lines
            .iter()
            .any(|line| line.starts_with("DynamicUser=") && !line.ends_with("=no")),
        "a dynamic user implies RemoveIPC"
    );
    Ok(())
}

/// The names of metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    text.match_indices("pmemkv_")
        .map(|(at, _)| {
            let rest = &text[at..];
            let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_');
            &rest[..end.unwrap_or(rest.len())]
        })
        .collect()
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_metrics_that_there_are() -> TestResult {
    let port = quiet_port()?;
    let backups = backup::folder()?;
    let options =
        backup::options("cmap", backups.path()).directive("metrics-port", &port.to_string());
    let server = Server::start_with(options)?;
    let mut client = server.raw()?;
    for line in [
        "SET k v EX 1000",
        "GET k",
        "INCR",
        "AUTH x y",
        "PMEMKV.BACKUP b",
    ] {
        client.line(line)?;
    }
    // Some metrics are there on a replica, or on a master of one.
    let port_of_replica = quiet_port()?;
    let mut options = Options::new("cmap")
        .pool_size("64mb")
        .directive("metrics-port", &port_of_replica.to_string());
    let follow = ["--replicaof", "127.0.0.1", &server.port().to_string()].map(str::to_owned);
    options.directives.extend(follow);
    let _replica = Server::start_with(options)?;
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let role = client.line("ROLE")?;
        let replicas = role.items().and_then(|role| role.get(2)?.items());
        if replicas.is_some_and(|replicas| !replicas.is_empty()) {
            break;
        }
        assert!(Instant::now() < until, "the replica does not follow");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(backup::ended(&mut client)?, "ok");
    let mut text = String::new();
    for port in [port, port_of_replica] {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        stream.read_to_string(&mut text)?;
    }
    let exposed: BTreeSet<&str> = text
        .lines()
        .filter(|line| line.starts_with("pmemkv_"))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let folder = root().join("packaging/monitoring");
    let dashboard = fs::read_to_string(folder.join("grafana-dashboard.json"))?;
    let document: serde_json::Value = serde_json::from_str(&dashboard)?;
    let panels = document["panels"].as_array().ok_or("no panels")?;
    assert!(panels.len() > 20, "{}", panels.len());
    let mut asked = String::new();
    for panel in panels {
        let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(panel["type"] == "row" || !targets.is_empty(), "{panel}");
        for target in targets {
            asked.push_str(target["expr"].as_str().ok_or("no expression")?);
            asked.push('\n');
        }
    }
    let alerts = fs::read_to_string(folder.join("alerts.yml"))?;
    asked.push_str(&alerts);
    let asked = metrics_in(&asked);
    // The index time comes when the background has read the whole pool.
    let missing: Vec<_> = asked
        .iter()
        .filter(|name| !exposed.contains(*name) && **name != "pmemkv_index_time_seconds")
        .collect();
    assert!(missing.is_empty(), "{missing:?} of {exposed:#?}");
    assert!(asked.len() > 35, "{asked:?}");
    // Each series that there is, is documented; each alert is explained.
    let documented = fs::read_to_string(root().join("docs/metrics.md"))?;
    for name in &exposed {
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name);
        assert!(documented.contains(&format!("`{base}`")), "{base}");
    }
    let operations = fs::read_to_string(root().join("docs/operations.md"))?;
    for line in alerts.lines() {
        if let Some((_, name)) = line.split_once("- alert: ") {
            assert!(operations.contains(&format!("`{name}`")), "{name}");
        }
    }
    Ok(())
}

#[test]
fn the_alerts_fire_when_they_should() -> TestResult {
    let folder = root().join("packaging/monitoring");
    for arguments in [
        &["check", "rules", "alerts.yml"][..],
        &["test", "rules", "alerts_test.yml"],
        &["check", "config", "prometheus.yml"],
    ] {
        let Some(output) = tool("promtool", arguments, &folder)? else {
            return Ok(());
        };
        assert!(output.status.success(), "{}", said(&output));
    }
    // Every alert has a test.
    let tests = fs::read_to_string(folder.join("alerts_test.yml"))?;
    for line in fs::read_to_string(folder.join("alerts.yml"))?.lines() {
        if let Some((_, name)) = line.split_once("- alert: ") {
            assert!(tests.contains(&format!("alertname: {name}")), "{name}");
        }
    }
    Ok(())
}

/// What the package brings.
const FILES: &[&str] = &[
    "etc/pmemkv-server/pmemkv-server.conf",
    "lib/systemd/system/pmemkv-server.service",
    "lib/systemd/system/pmemkv-server.socket",
    "usr/bin/pmemkv-server",
    "usr/lib/tmpfiles.d/pmemkv-server.conf",
    "usr/share/bash-completion/completions/pmemkv-server",
    "usr/share/doc/pmemkv-server/copyright",
    "usr/share/doc/pmemkv-server/migration.md.gz",
    "usr/share/doc/pmemkv-server/operations.md.gz",
    "usr/share/doc/pmemkv-server/examples/alerts.yml",
    "usr/share/doc/pmemkv-server/examples/dax-device.conf",
    "usr/share/doc/pmemkv-server/examples/grafana-dashboard.json",
    "usr/share/fish/vendor_completions.d/pmemkv-server.fish",
    "usr/share/man/man1/pmemkv-server.1.gz",
    "usr/share/man/man5/pmemkv-server.conf.5.gz",
    "usr/share/zsh/vendor-completions/_pmemkv-server",
];

#[test]
fn the_package_has_all_that_it_needs() -> TestResult {
    let folder = tempfile::tempdir()?;
    if tool("dpkg-shlibdeps", &["--version"], folder.path())?.is_none() {
        return Ok(());
    }
    let program = common::program().display().to_string();
    let output_folder = folder.path().display().to_string();
    let arguments = ["--fast", "--binary", &program, "--output", &output_folder];
    let script = root().join("scripts/package").display().to_string();
    let output = tool(&script, &arguments, &root())?.ok_or("no script")?;
    assert!(output.status.success(), "{}", said(&output));
    let deb = String::from_utf8(output.stdout)?.trim().to_owned();
    let tree = folder.path().join("tree");
    let target = tree.display().to_string();
    for arguments in [
        &["-x", &deb, &target][..],
        &[
            "-e",
            &deb,
            &folder.path().join("control").display().to_string(),
        ],
    ] {
        let output = tool("dpkg-deb", arguments, folder.path())?.ok_or("no dpkg-deb")?;
        assert!(output.status.success(), "{}", said(&output));
    }
    for file in FILES {
        assert!(tree.join(file).is_file(), "{file} is missing");
    }
    let control = fs::read_to_string(folder.path().join("control/control"))?;
    let depends = control
        .lines()
        .find_map(|line| line.strip_prefix("Depends: "))
        .ok_or("no dependencies")?;
    assert!(
        depends.contains("libc6 ") && depends.contains("libpmemobj1 "),
        "{depends}"
    );
    // The library is there, or the package asks for it.
    let brings = tree.join("usr/lib/pmemkv-server/libpmemkv.so.1").is_file();
    assert_ne!(brings, depends.contains("libpmemkv1"), "{depends}");
    for script in ["postinst", "prerm", "postrm"] {
        let path = folder
            .path()
            .join("control")
            .join(script)
            .display()
            .to_string();
        let output = tool("sh", &["-n", &path], folder.path())?.ok_or("no sh")?;
        assert!(output.status.success(), "{}", said(&output));
    }
    // The program of the package takes the configuration of the package.
    let conf = tree.join(FILES[0]).display().to_string();
    let program = tree.join("usr/bin/pmemkv-server").display().to_string();
    let output = tool(&program, &[&conf, "--dump-config"], folder.path())?.ok_or("no program")?;
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        said(&output)
    );
    let dump = String::from_utf8(output.stdout)?;
    for line in [
        "pool-path /dev/shm/pmemkv-server/pmemkv-server.pool",
        "bind 127.0.0.1 -::1",
    ] {
        assert!(dump.lines().any(|other| other == line), "{line}");
    }
    for (program, arguments) in [
        (
            "bash",
            ["-n", "usr/share/bash-completion/completions/pmemkv-server"],
        ),
        (
            "man",
            ["--warnings", "./usr/share/man/man1/pmemkv-server.1.gz"],
        ),
        (
            "man",
            ["--warnings", "./usr/share/man/man5/pmemkv-server.conf.5.gz"],
        ),
    ] {
        let Some(output) = tool(program, &arguments, &tree)? else {
            continue;
        };
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success() && text.is_empty(),
            "{program}: {text}"
        );
        assert!(program == "bash" || said(&output).contains("SEE ALSO"));
    }
    Ok(())
}

#[test]
fn the_image_has_its_files_and_passes_its_lint() -> TestResult {
    let folder = root().join("packaging/docker");
    let compose = fs::read_to_string(folder.join("docker-compose.yml"))?;
    let mounted: Vec<&str> = compose
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- "))
        .filter(|volume| volume.starts_with('.'))
        .filter_map(|volume| volume.split(':').next())
        .collect();
    assert_eq!(mounted.len(), 5, "{mounted:?}");
    for file in mounted {
        assert!(folder.join(file).is_file(), "{file}");
    }
    // scripts/setup-extras puts it there.
    let own = root().join("target/extras/bin/hadolint");
    let program = if own.is_file() {
        own.display().to_string()
    } else {
        "hadolint".to_owned()
    };
    if let Some(output) = tool(&program, &["Dockerfile"], &folder)? {
        assert!(output.status.success(), "{}", said(&output));
    }
    Ok(())
}
