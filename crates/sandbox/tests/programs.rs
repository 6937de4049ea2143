//! Plain programs: the same output and exit status as on the host.

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use ampoule_sandbox::Step;
use ampoule_testkit::kvm_is_available;
use std::io::Write;
use std::process::{Command, Stdio};
use support::{program, run};

/// Runs busybox natively and in a sandbox and compares.
#[expect(clippy::unwrap_used, clippy::panic, reason = "test support: failing loudly is the point")]
fn same_as_native(arguments: &[&str], stdin: &[u8]) {
    let Some(path) = ampoule_testkit::system_program("/bin/busybox", "busybox-static") else {
        return;
    };
    let mut child = Command::new(&path)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let bytes = stdin.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = pipe.write_all(&bytes);
    });
    let native = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let config = program(std::fs::read(&path).unwrap(), "busybox", arguments);
    let outcome = run(&config, stdin);
    let Step::Exited { code, .. } = outcome.step else {
        panic!("{arguments:?}: {:?}", outcome.sandbox.state());
    };
    assert_eq!(Some(code), native.status.code(), "{arguments:?}: exit status");
    assert!(outcome.stdout == native.stdout, "{arguments:?}: output differs");
    assert_eq!(
        String::from_utf8_lossy(&outcome.stderr),
        String::from_utf8_lossy(&native.stderr),
        "{arguments:?}: standard error"
    );
}

#[test]
fn busybox_applets_behave_as_natively() {
    if !kvm_is_available() {
        return;
    }
    let text: String = (0..3000).map(|n| format!("{} line {n}\n", (n * 7919) % 3001)).collect();
    let text = text.as_bytes();
    for arguments in [
        &["sha256sum"][..],
        &["md5sum"],
        &["sort"],
        &["sort", "-n", "-r"],
        &["wc"],
        &["awk", "{ s += $1 } END { print s, NR }"],
        &["sed", "s/line/LINE/"],
        &["tr", "a-z", "A-Z"],
        &["gzip", "-c"],
        &["base64"],
        &["od", "-x"],
        &["head", "-n", "3"],
        &["cut", "-d", " ", "-f", "2"],
        &["uniq"],
        &["cat"],
        &["grep", "-c", "7"],
        &["false"],
        &["true"],
        &["echo", "one", "two"],
        &["no-such-applet"],
    ] {
        same_as_native(arguments, text);
    }
    same_as_native(&["bc"], b"2^200\nscale=20\n22/7\n");
    same_as_native(&["dc", "-e", "2 200 ^ p"], b"");
    same_as_native(&["sh", "-c", "i=0; while [ $i -lt 50 ]; do i=$((i+1)); echo $i; done"], b"");
}
